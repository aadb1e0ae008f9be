#include "trainer/comm/udp_socket.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "trainer/base/error.h"

namespace rehearse {
namespace {

sockaddr_in& ipv4(sockaddr_storage& storage) {
  return reinterpret_cast<sockaddr_in&>(storage);
}

sockaddr_in6& ipv6(sockaddr_storage& storage) {
  return reinterpret_cast<sockaddr_in6&>(storage);
}

std::string text_of(const sockaddr* address) {
  char text[INET6_ADDRSTRLEN] = {};
  const void* bytes = address->sa_family == AF_INET
                          ? static_cast<const void*>(&reinterpret_cast<const sockaddr_in*>(address)->sin_addr)
                          : &reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr;
  return inet_ntop(address->sa_family, bytes, text, sizeof text) ? text : "";
}

// A link-local address means another interface on every host.
bool is_link_local(const sockaddr* address) {
  return address->sa_family == AF_INET6 &&
         IN6_IS_ADDR_LINKLOCAL(&reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr);
}

}  // namespace

std::optional<SocketAddress> SocketAddress::parse(const std::string& address, uint16_t port) {
  SocketAddress parsed;
  if (inet_pton(AF_INET, address.c_str(), &ipv4(parsed.storage_).sin_addr) == 1) {
    ipv4(parsed.storage_).sin_family = AF_INET;
    ipv4(parsed.storage_).sin_port = htons(port);
    return parsed;
  }
  if (inet_pton(AF_INET6, address.c_str(), &ipv6(parsed.storage_).sin6_addr) != 1) return std::nullopt;
  ipv6(parsed.storage_).sin6_family = AF_INET6;
  ipv6(parsed.storage_).sin6_port = htons(port);
  return parsed;
}

bool SocketAddress::is_loopback() const {
  const auto* address = reinterpret_cast<const sockaddr*>(&storage_);
  if (address->sa_family == AF_INET6)
    return IN6_IS_ADDR_LOOPBACK(&reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr);
  return ntohl(reinterpret_cast<const sockaddr_in*>(address)->sin_addr.s_addr) >> 24 == 127;
}

UdpSocket::UdpSocket(bool is_loopback_only) : is_loopback_only_(is_loopback_only) {
  // An IPv6 socket that listens on every interface hears IPv4 too; loopback has an address of each family.
  const int first = is_loopback_only ? AF_INET : AF_INET6, second = is_loopback_only ? AF_INET6 : AF_INET;
  if (!open(first, is_loopback_only) && !open(second, is_loopback_only))
    throw CommError("expected a UDP socket; found ", std::strerror(errno));
}

UdpSocket::~UdpSocket() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

bool UdpSocket::open(int family, bool is_loopback_only) {
  const int descriptor = ::socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (descriptor < 0) return false;
  sockaddr_storage own = {};
  own.ss_family = static_cast<sa_family_t>(family);
  const int no = 0;
  if (family == AF_INET)
    ipv4(own).sin_addr.s_addr = htonl(is_loopback_only ? INADDR_LOOPBACK : INADDR_ANY);
  else
    ipv6(own).sin6_addr = is_loopback_only ? in6addr_loopback : in6addr_any;
  const socklen_t size = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
  const bool hears_both =
      family == AF_INET || is_loopback_only || ::setsockopt(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no) == 0;
  if (!hears_both || ::bind(descriptor, reinterpret_cast<sockaddr*>(&own), size) != 0) {
    const int reason = errno;
    ::close(descriptor);
    errno = reason;
    return false;
  }
  descriptor_ = descriptor;
  family_ = family;
  return true;
}

uint16_t UdpSocket::port() const {
  sockaddr_storage own = {};
  socklen_t size = sizeof own;
  if (::getsockname(descriptor_, reinterpret_cast<sockaddr*>(&own), &size) != 0) return 0;
  return ntohs(own.ss_family == AF_INET ? ipv4(own).sin_port : ipv6(own).sin6_port);
}

std::vector<std::string> UdpSocket::own_addresses() const {
  std::vector<std::string> found = {family_ == AF_INET6 && is_loopback_only_ ? "::1" : "127.0.0.1"};
  ifaddrs* list = nullptr;
  if (is_loopback_only_ || ::getifaddrs(&list) != 0) return found;
  for (const ifaddrs* at = list; at != nullptr; at = at->ifa_next) {
    if (!at->ifa_addr || (at->ifa_flags & IFF_LOOPBACK)) continue;
    const int family = at->ifa_addr->sa_family;
    const bool is_heard = family == AF_INET || (family == AF_INET6 && family_ == AF_INET6);
    if (is_heard && !is_link_local(at->ifa_addr)) found.push_back(text_of(at->ifa_addr));
  }
  ::freeifaddrs(list);
  return found;
}

void UdpSocket::send(const void* data, size_t bytes, const SocketAddress& to) const {
  sockaddr_storage target = to.storage_;
  if (family_ == AF_INET6 && target.ss_family == AF_INET) {  // such a socket knows IPv4 as ::ffff:a.b.c.d
    sockaddr_in from = ipv4(target);
    target = {};
    ipv6(target).sin6_family = AF_INET6;
    ipv6(target).sin6_port = from.sin_port;
    uint8_t* mapped = ipv6(target).sin6_addr.s6_addr;
    mapped[10] = mapped[11] = 0xff;
    std::memcpy(mapped + 12, &from.sin_addr, sizeof from.sin_addr);
  }
  if (target.ss_family != family_) return;
  const socklen_t size = family_ == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
  ::sendto(descriptor_, data, bytes, 0, reinterpret_cast<const sockaddr*>(&target), size);
}

bool UdpSocket::receive(void* data, size_t bytes) const {
  while (true) {
    const ssize_t size = ::recv(descriptor_, data, bytes, MSG_TRUNC);
    if (size < 0) return false;
    if (static_cast<size_t>(size) == bytes) return true;
  }
}

}  // namespace rehearse
