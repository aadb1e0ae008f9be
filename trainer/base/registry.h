// Self-registering plug-ins: one file adds one part. Interfaces declare `struct Context` with their run-time values.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "trainer/base/config/config.h"
#include "trainer/base/error.h"
#include "trainer/base/text/words.h"

namespace rehearse {

// Filled by static initialisers before main, read-only afterwards.
template <class Interface>
class Registry {
 public:
  using Factory = std::function<std::unique_ptr<Interface>(ConfigNode&, const typename Interface::Context&)>;
  struct Entry {
    Factory create;
    std::string example;  // a YAML line that builds the part; the conformance suite builds every one
  };

  static Registry& instance() {
    static Registry registry;
    return registry;
  }

  bool add(const std::string& name, Factory create, const char* example) {
    return entries_.emplace(name, Entry{std::move(create), example}).second;
  }

  // Builds the part that node's `type` names. Unknown names are a ConfigError that lists the known ones.
  std::unique_ptr<Interface> create(ConfigNode node, const typename Interface::Context& context) const {
    return create(node.required_text("type"), node, context);
  }

  std::unique_ptr<Interface> create(const std::string& name, ConfigNode node,
                                    const typename Interface::Context& context) const {
    expect_one_of(node.where("type"), name, names());
    return entries_.at(name).create(node, context);
  }

  const std::map<std::string, Entry>& entries() const { return entries_; }

  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& [name, entry] : entries_) names.push_back(name);
    return names;
  }

 private:
  std::map<std::string, Entry> entries_;
};

// Keys may depend on the run: Options::from(ConfigNode&, const Context&) where there is one, else from(ConfigNode&).
template <class Options, class Context>
Options options_from(ConfigNode& node, const Context& context) {
  if constexpr (requires { Options::from(node, context); })
    return Options::from(node, context);
  else
    return Options::from(node);
}

}  // namespace rehearse

// Class needs: struct Options { static Options from(ConfigNode&); }; static constexpr const char* kExample;
// and a constructor Class(const Options&, const Interface::Context&).
#define REHEARSE_REGISTER(Interface, name, Class)                                                          \
  [[maybe_unused]] static const bool kRegistered##Class = ::rehearse::Registry<Interface>::instance().add( \
      name,                                                                                                \
      [](::rehearse::ConfigNode& node, const Interface::Context& context) -> std::unique_ptr<Interface> {  \
        return std::make_unique<Class>(::rehearse::options_from<Class::Options>(node, context), context);  \
      },                                                                                                   \
      Class::kExample)
