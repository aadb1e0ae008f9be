// Datagrams over IPv4 and IPv6, for what may be lost.
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace rehearse {

class SocketAddress {
 public:
  // "10.0.0.7" or "2001:db8::7"; nothing when it is neither.
  static std::optional<SocketAddress> parse(const std::string& address, uint16_t port);
  bool is_loopback() const;

 private:
  friend class UdpSocket;
  sockaddr_storage storage_ = {};
};

// Never blocks; owns its descriptor. May be used from one thread at a time.
class UdpSocket {
 public:
  // On a free port of loopback, or of every interface: of both families where the kernel has both. CommError.
  explicit UdpSocket(bool is_loopback_only);
  ~UdpSocket();
  UdpSocket(const UdpSocket&) = delete;
  UdpSocket& operator=(const UdpSocket&) = delete;

  uint16_t port() const;
  // Where others reach it: loopback, then all else that it listens on and that is the same address on every host.
  std::vector<std::string> own_addresses() const;
  void send(const void* data, size_t bytes, const SocketAddress& to) const;  // or loses it
  // False when nothing of that size is there; others are thrown away.
  bool receive(void* data, size_t bytes) const;

 private:
  bool open(int family, bool is_loopback_only);
  bool is_loopback_only_;
  int family_ = 0;
  int descriptor_ = -1;
};

}  // namespace rehearse
