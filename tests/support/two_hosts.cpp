#include "tests/support/two_hosts.h"

#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>

namespace rehearse {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPrefix = "rehearse-";  // then the test's process id, then the host
constexpr const char* kWire = "wire";

ProcessResult ip(const std::vector<std::string>& words) {
  std::vector<std::string> line = {"ip"};
  line.insert(line.end(), words.begin(), words.end());
  return run_process(line);
}

void expect_ip(const std::vector<std::string>& words) {
  const ProcessResult result = ip(words);
  if (result.exit_code != 0) throw std::runtime_error("ip " + words[0] + ": " + result.err);
}

void end_namespace(const std::string& name) {
  std::istringstream pids(ip({"netns", "pids", name}).out);
  for (pid_t one; pids >> one;) kill(one, SIGKILL);
  ip({"netns", "delete", name});
}

void remove_leftovers() {
  std::istringstream names(ip({"netns", "list"}).out);
  for (std::string line; std::getline(names, line);) {
    const std::string name = line.substr(0, line.find(' '));
    if (!name.starts_with(kPrefix)) continue;
    const pid_t owner = std::atoi(name.c_str() + std::string(kPrefix).size());
    if (owner > 0 && kill(owner, 0) != 0) end_namespace(name);
  }
}

}  // namespace

std::string TwoHosts::refusal() {
  if (geteuid() != 0) return "network namespaces need root";
  const std::string trial = kPrefix + std::to_string(getpid()) + "-trial";
  try {
    const ProcessResult made = ip({"netns", "add", trial});
    if (made.exit_code != 0) return "ip netns add: " + made.err;
    const ProcessResult wire = ip({"-n", trial, "link", "add", kWire, "type", "veth", "peer", "name", "other"});
    const ProcessResult entered = ip({"netns", "exec", trial, "unshare", "--uts", "hostname", "trial"});
    ip({"netns", "delete", trial});
    if (wire.exit_code != 0) return "ip link add type veth: " + wire.err;
    if (entered.exit_code != 0) return "ip netns exec, unshare --uts: " + entered.err;
  } catch (const std::runtime_error& failure) {
    return failure.what();  // no ip
  }
  return "";
}

TwoHosts::TwoHosts(const fs::path& folder) : agent_((folder / "enter_host").string()) {
  remove_leftovers();
  for (int host : {1, 2}) expect_ip({"netns", "add", name(host)});
  expect_ip({"link", "add", kWire, "netns", name(1), "type", "veth", "peer", "name", kWire, "netns", name(2)});
  for (int host : {1, 2}) {
    expect_ip({"-n", name(host), "link", "set", "lo", "up"});
    expect_ip({"-n", name(host), "address", "add", address(host) + "/24", "dev", kWire});
    expect_ip({"-n", name(host), "link", "set", kWire, "up"});
  }
  // mpirun calls it like ssh: host, then words for a shell. Like ssh it stays until they are done.
  std::ofstream(agent_) << "#!/bin/bash\n[[ $1 == " << address(2) << " ]] || exit 255\nshift\n"
                        << "ip -n " << name(1) << " link show " << kWire << " | grep -q 'state UP' || exec sleep 300\n"
                        << "ip netns exec " << name(2)
                        << " unshare --uts bash -c 'hostname host-2; exec bash -c \"$*\"' _ \"$@\" </dev/null\n";
  fs::permissions(agent_, fs::perms::owner_all);
  mend_wire();
}

TwoHosts::~TwoHosts() {
  remove_namespaces();
}

void TwoHosts::remove_namespaces() const {
  for (int host : {1, 2}) end_namespace(name(host));
}

std::string TwoHosts::name(int host) const {
  return kPrefix + std::to_string(getpid()) + "-" + std::to_string(host);
}

std::string TwoHosts::address(int host) {
  return "10.77.0." + std::to_string(host);
}

std::vector<std::string> TwoHosts::on_first(const std::vector<std::string>& line) const {
  std::vector<std::string> all = {
      "ip", "netns", "exec", name(1), "unshare", "--uts", "bash", "-c", "hostname host-1; exec \"$@\"", "_"};
  all.insert(all.end(), line.begin(), line.end());
  return all;
}

ProcessOptions TwoHosts::options() const {
  ProcessOptions options;
  options.environment = {
      {"OMPI_ALLOW_RUN_AS_ROOT", "1"}, {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"}, {"OMPI_MCA_plm_rsh_agent", agent_}};
  return options;
}

void TwoHosts::cut_wire() {
  expect_ip({"-n", name(1), "link", "set", kWire, "down"});
}

// A host that nobody could reach stays unreachable for a moment after the link is back: only an answer counts.
bool TwoHosts::is_reached_from(int host) const {
  const std::string knock = "exec 3<>/dev/tcp/" + address(3 - host) + "/9";  // nobody listens there
  return ip({"netns", "exec", name(host), "bash", "-c", knock}).err.find("refused") != std::string::npos;
}

void TwoHosts::mend_wire() {
  expect_ip({"-n", name(1), "link", "set", kWire, "up"});
  for (int i = 0; i < 500; ++i) {
    int up = 0;
    for (int host : {1, 2})
      up += ip({"-n", name(host), "link", "show", kWire}).out.find("state UP") != std::string::npos &&
            is_reached_from(host);
    if (up == 2) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  throw std::runtime_error("the wire between two namespaces does not come up");
}

std::vector<pid_t> TwoHosts::processes(int host, const std::string& called) const {
  std::vector<pid_t> found;
  std::istringstream pids(ip({"netns", "pids", name(host)}).out);
  for (pid_t one; pids >> one;) {
    std::ifstream file("/proc/" + std::to_string(one) + "/comm");
    std::string command;
    std::getline(file, command);
    if (called.empty() ? !command.empty() : command == called) found.push_back(one);
  }
  return found;
}

}  // namespace rehearse
