#include "trainer/examine/probe_target.h"

#include "trainer/checkpoint/checkpoint_report.h"

namespace rehearse {

ProbeTarget ProbeTarget::open(const std::string& path, const std::vector<std::string>& overrides) {
  ProbeTarget target;
  const fs::path extension = fs::path(path).extension();
  if (extension == ".yaml" || extension == ".yml") {
    target.config = std::make_unique<Config>(Config::load(path, overrides));
    target.options = RunOptions::from(*target.config, path);
    target.model = std::make_unique<Model>(*target.config, target.options.seed);
    target.config->root().child("model").expect_all_read();
    return target;
  }
  if (!overrides.empty())
    throw ConfigError("--set: expected a configuration (*.yaml) to change; found the checkpoint ", path);
  const LoadedCheckpoint checkpoint = load_checkpoint(choose_checkpoint(path, -1), false);
  target.model = Model::from_checkpoint(checkpoint);
  target.config = std::make_unique<Config>(
      Config::parse(checkpoint.files.at("config.yaml"), (checkpoint.path / "config.yaml").string()));
  target.options = RunOptions::from(*target.config, path);
  return target;
}

Probe ProbeTarget::probe(const ProbeRequest& request, const std::string& verb) {
  std::optional<Probe> probe = model->task().probe(request);
  if (!probe)
    throw ConfigError(verb, ": expected a task whose model is a list of blocks; found task ",
                      model->task().terms().task);
  return std::move(*probe);
}

}  // namespace rehearse
