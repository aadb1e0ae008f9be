// What the README shows is true: its commands are run as they stand, in a folder that looks like a clone beside small
// corpora; only /data is elsewhere. What other pages show is held against --help.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>

#include "tests/data/text/text_support.h"
#include "tests/readme/example_corpora.h"
#include "tests/readme/markdown_commands.h"
#include "tests/support/process.h"

namespace rehearse {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

const fs::path kSource = REHEARSE_SOURCE_DIR;

std::string text_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error(path.string() + " is not there");
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string replaced(std::string text, const std::string& old, const std::string& now) {
  for (size_t at = text.find(old); at != std::string::npos; at = text.find(old, at + now.size()))
    text.replace(at, old.size(), now);
  return text;
}

std::string after(const std::string& text, const std::string& mark) {
  const size_t at = text.find(mark);
  return at == std::string::npos ? "" : text.substr(at + mark.size());
}

// Looks like a clone with a build.
class Clone : public ::testing::Test {
 protected:
  Clone() {
    for (const char* name : {"launch", "configs"}) fs::create_directory_symlink(kSource / name, path(name));
    fs::create_directories(path("build/bin"));
    fs::create_symlink(REHEARSE_BINARY, path("build/bin/rehearse"));
    // Programs that this machine does not have, or that are not to be asked.
    stand_in("sbatch", "export SLURM_SUBMIT_DIR=$PWD SLURM_NTASKS=2 SLURM_JOB_ID=17\nexec bash \"$@\"\n");
    stand_in("slurm/mpirun", "echo \"mpirun $*\"\n");
    stand_in("slurm/scontrol", "echo \"scontrol $*\"\n");
    stand_in("two_cores/lscpu", "printf '0,0,0\\n1,1,0\\n'\n");
    stand_in("two_cores/taskset", "exit 1\n");
  }
  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }
  void stand_in(const std::string& name, const std::string& body) const {
    const fs::path file = path("stand-ins/" + name);
    fs::create_directories(file.parent_path());
    std::ofstream(file) << "#!/bin/bash\n" << body;
    fs::permissions(file, fs::perms::owner_all);
  }
  // Words as a shell reads them, in this folder; `stand_ins` come before the real programs.
  ProcessResult shell(const std::string& line, const std::string& stand_ins = "stand-ins") const {
    ProcessOptions options;
    options.folder = folder_.path().string();
    options.environment["PATH"] = path(stand_ins) + ":" + path("stand-ins") + ":" + getenv("PATH");
    return run_process({"bash", "-c", line}, options);
  }

  TemporaryFolder folder_{"readme"};
};

class Readme : public Clone {
 protected:
  void make_corpora() const {
    const fs::path data = path("data");
    write_librispeech(data / "LibriSpeech", "train-clean-100", 16);
    write_librispeech(data / "LibriSpeech", "dev-clean", 2);
    for (const char* table : {"train", "dev"}) write_common_voice(data / "cv-corpus/en", table, 3);
    for (const char* name : {"calls", "new"}) {
      write_nemo(data / name, "train", 16);
      write_nemo(data / name, "dev", 2);
    }
    write_example_audio(path("call.opus"), SF_FORMAT_OGG | SF_FORMAT_OPUS);
    fs::copy(kSource / "launch/hostfile.example", path("hosts.txt"));
    const ProcessResult made = shell("build/bin/rehearse import nemo data/new --out corpora/new --domain new");
    ASSERT_EQ(made.exit_code, 0) << made.err;
  }
  // The README's experiment files, each under the name in its first line; `is_small` makes runs a matter of seconds.
  void write_experiments(bool is_small) const {
    std::map<std::string, std::string> files;
    std::string name;
    for (const MarkdownCommand& line : fenced_lines(readme_, "yaml")) {
      if (line.text.starts_with("# ")) name = line.text.substr(2);
      files[name] += line.text + "\n";
    }
    ASSERT_TRUE(files.contains("my_run.yaml") && files.contains("small_run.yaml")) << files.size();
    for (auto& [file, yaml] : files) {
      if (is_small) {
        yaml = replaced(yaml, "channels: 256", "channels: 32");
        yaml = replaced(yaml, "budget: {passes: 10}", "batch: {seconds: 24}\nbudget: {steps: 3}");
        yaml = replaced(yaml, "budget: {minutes: 10}", "budget: {steps: 3}");
        ASSERT_THAT(yaml, HasSubstr("steps: 3"));
      }
      std::ofstream(path(file)) << yaml;
    }
    std::ofstream(path("new_domain.yaml")) << "extends: my_run.yaml\nrun: {folder: runs/new_domain}\ndata: {train: "
                                              "[corpora/mine/train.jsonl, corpora/new/train.jsonl]}\n"
                                           << "curriculum: {domains: {calls: {replay: true}}}\n";
  }
  void check_line(const std::string& line);

  std::string readme_ = text_of(kSource / "README.md");
  std::set<std::string> done_;  // what rehearse was told, in lines that ran
};

void Readme::check_line(const std::string& shown) {
  const std::string line = replaced(shown, " /data/", " " + path("data/"));
  write_experiments(line.find("rehearse check ") == std::string::npos);
  ProcessResult result;
  if (line.starts_with("build/bin/rehearse ")) {
    result = shell(line);
  } else if (line == "launch/quickstart.sh" || line == "launch/test.sh") {
    result = shell(line + " --help");
  } else if (line.starts_with("launch/run.sh ") && line.find(" --host") != std::string::npos) {
    result = shell(replaced(line, "launch/run.sh", "launch/run.sh --dry-run"));
    const std::string command = after(line, " -- ");
    EXPECT_TRUE(done_.contains(command)) << "no line before runs '" << command << "' on this machine";
    EXPECT_THAT(result.out, HasSubstr("build/bin/rehearse " + command));
    EXPECT_THAT(result.out, HasSubstr(line.find("--hosts") != std::string::npos ? "--host node1:2" : "--hostfile "));
  } else if (line.starts_with("launch/run.sh ")) {
    result = shell(line);
    done_.insert(after(line, " -- "));
  } else if (line.starts_with("sbatch ")) {
    result = shell(line, "stand-ins/slurm");
    EXPECT_THAT(result.out, HasSubstr("mpirun -n 2 "));
    EXPECT_THAT(result.out, HasSubstr("build/bin/rehearse train my_run.yaml --resume auto"));
  } else {
    FAIL() << "this test does not know how to run the line; add it";
  }
  EXPECT_EQ(result.exit_code, 0) << result.out << result.err;
}

TEST_F(Readme, EveryCommandRunsAsItStands) {
  make_corpora();
  int count = 0;
  for (const MarkdownCommand& command : fenced_lines(readme_)) {
    const std::string line = without_comment(command.text);
    if (line.empty()) continue;
    SCOPED_TRACE("README.md:" + std::to_string(command.line) + ": " + line);
    check_line(line);
    ++count;
  }
  EXPECT_GE(count, 15);
  EXPECT_TRUE(fs::exists(path("runs/my_run/metrics.jsonl")));
  EXPECT_TRUE(fs::exists(path("runs/small_run/metrics.jsonl")));
  EXPECT_TRUE(fs::exists(path("report.html")));
}

TEST_F(Readme, EveryRecipeIsAWholeRunButForItsData) {
  make_corpora();
  ASSERT_EQ(shell("build/bin/rehearse import nemo data/calls --out corpora/mine --domain calls").exit_code, 0);
  const std::string made = "build/bin/rehearse tokenizer corpora/mine/train.jsonl --kind bpe --size 100 --out ";
  ASSERT_EQ(shell(made + "corpora/bpe100.model").exit_code, 0);
  int count = 0;
  for (const auto& recipe : fs::directory_iterator(kSource / "configs/recipes")) {
    const std::string name = recipe.path().filename().string();
    SCOPED_TRACE(name);
    EXPECT_THAT(readme_, HasSubstr("(configs/recipes/" + name + ")"));
    std::ofstream(path("run.yaml")) << "extends: configs/recipes/" << name << "\nrun: {folder: runs/" << name
                                    << "}\ndata: {train: [corpora/mine/train.jsonl],"
                                    << " valid: [corpora/mine/dev.jsonl], tokenizer: corpora/bpe100.model}\n";
    const ProcessResult check = shell("build/bin/rehearse check run.yaml");
    EXPECT_EQ(check.exit_code, 0) << check.err;
    const ProcessResult run = shell(
        "build/bin/rehearse train run.yaml --set budget.steps=1 --set batch.seconds=6 --set batch.micro_batches=2");
    EXPECT_EQ(run.exit_code, 0) << run.err;
    ++count;
  }
  EXPECT_EQ(count, 5);
}

TEST_F(Clone, TheRawLineOfTheLaunchPageIsThatOfTheScript) {
  const auto lines = fenced_lines(text_of(kSource / "launch/README.md"));
  const auto raw =
      std::find_if(lines.begin(), lines.end(), [](const auto& x) { return x.text.starts_with("mpirun "); });
  ASSERT_NE(raw, lines.end());
  const ProcessResult result =
      shell("launch/run.sh -n 2 --dry-run -- train configs/quickstart.yaml", "stand-ins/two_cores");
  std::string line = replaced(result.out, folder_.path().string() + "/", "");
  line = replaced(replaced(line, " --allow-run-as-root", ""), " \n", " </dev/null");
  EXPECT_EQ(line, raw->text) << result.err;
}

TEST_F(Clone, TheClusterFilesAreWholeScripts) {
  for (const auto& entry : fs::recursive_directory_iterator(kSource / "launch"))
    if (entry.path().extension() == ".sh" || entry.path().extension() == ".sbatch") {
      const ProcessResult result = run_process({"bash", "-n", entry.path().string()});
      EXPECT_EQ(result.exit_code, 0) << result.err;
    }
}

// Holds words against what programs say they take.
class Shown : public Clone {
 protected:
  const std::string& help_of(const std::string& line) {
    const auto [found, is_new] = help_.try_emplace(line);
    if (is_new) found->second = shell(line + " --help").out;
    return found->second;
  }
  void expect_options(const std::string& words, const std::string& program) {
    static const std::regex kOption(R"((^|\s)(--?[a-zA-Z][a-z-]*))");
    for (std::sregex_iterator at(words.begin(), words.end(), kOption), end; at != end; ++at) {
      const std::string option = (*at)[2];
      if (option == "--help") continue;
      EXPECT_TRUE(std::regex_search(help_of(program), std::regex("(^|[\\s,])" + option + "([\\s,=:\\[]|$)")))
          << program << " does not know " << option;
    }
  }
  // True when it is a line of ours.
  bool check(const std::string& shown) {
    const std::string line = shown.substr(0, shown.find_first_of("|>;&"));
    static const std::regex kRehearse(R"(^(?:build/bin/)?rehearse ([a-z][a-z-]*)(?![a-z-])(.*))");
    std::smatch match;
    if (line.starts_with("launch/run.sh ")) {
      expect_options(line.substr(0, line.find(" -- ")), "launch/run.sh");
      check("rehearse " + after(line, " -- "));
      return true;
    }
    if (!std::regex_match(line, match, kRehearse)) return false;
    const std::string verb = match[1];
    EXPECT_TRUE(std::regex_search(help_of("build/bin/rehearse"), std::regex("\n  " + verb + " ")))
        << "no verb " << verb;
    expect_options(match[2], "build/bin/rehearse " + verb);
    return true;
  }

  static inline std::map<std::string, std::string> help_;  // every start of the program takes its time
};

TEST_F(Shown, CommandsOnEveryPageNameVerbsAndOptionsThatExist) {
  int count = 0;
  for (auto at = fs::recursive_directory_iterator(kSource); at != fs::recursive_directory_iterator(); ++at) {
    const std::string name = at->path().filename().string();
    if (at->is_directory() &&
        (name.starts_with("build") || name.starts_with(".") || name == "runs" || name == "corpora"))
      at.disable_recursion_pending();
    if (at->path().extension() != ".md") continue;
    const std::string page = text_of(at->path());
    std::vector<MarkdownCommand> commands = fenced_lines(page), spans = code_spans(page);
    commands.insert(commands.end(), spans.begin(), spans.end());
    for (const MarkdownCommand& command : commands) {
      SCOPED_TRACE(at->path().string() + ":" + std::to_string(command.line) + ": " + command.text);
      count += check(without_comment(command.text)) ? 1 : 0;
    }
  }
  EXPECT_GE(count, 15);
}

TEST_F(Shown, ExamplesInHelpNameVerbsAndOptionsThatExist) {
  std::istringstream lines(help_of("build/bin/rehearse"));
  int count = 0;
  for (std::string line; std::getline(lines, line) && !line.starts_with("Subcommands:");) continue;
  for (std::string line; std::getline(lines, line) && line.starts_with("  ");) {
    const std::string verb = line.substr(2, line.find(' ', 2) - 2);
    std::istringstream examples(after(help_of("build/bin/rehearse " + verb), "Examples:\n"));
    for (std::string example; std::getline(examples, example);) {
      SCOPED_TRACE(verb + ": " + example);
      count += check(without_comment(example)) ? 1 : 0;
    }
  }
  EXPECT_GE(count, 15);
}

TEST_F(Clone, TheArgumentsOfTheKubernetesJobAreALineOfTheLauncher) {
  std::smatch match;
  const std::string job = text_of(kSource / "launch/k8s/mpijob.yaml");
  ASSERT_TRUE(std::regex_search(job, match, std::regex(R"(args: \[(.*)\])")));
  const std::string words = replaced(match[1], ",", "");
  const ProcessResult result =
      shell("launch/run.sh --dry-run " + replaced(words, "/etc/mpi/hostfile", "launch/hostfile.example"));
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("build/bin/rehearse train configs/quickstart.yaml --resume auto"));
}

}  // namespace
}  // namespace rehearse
