// nat: train and judge Noise As Targets. Results go to stdout, progress to stderr; exit codes are
// those of kernels/check.h and tools/training.h.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <new>

#include "kernels/check.h"
#include "nat_config.h"
#include "tools/commands.h"

namespace nat::tools {
namespace {

// One line a person can act on, for what the parser did not understand.
int report_usage(const CLI::App& app, const CLI::ParseError& error) {
  std::string message = error.what();
  const CLI::App* command = &app;
  for (const CLI::App* chosen : app.get_subcommands()) command = chosen;
  if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) {
    std::vector<std::string> known;
    for (const CLI::Option* option : command->get_options()) {
      known.push_back(option->get_name());
    }
    for (const CLI::App* sub : command->get_subcommands({})) known.push_back(sub->get_name());
    const std::vector<std::string> extras = command->remaining(true);
    const std::string word =
        extras.empty() ? "" : extras.front().substr(0, extras.front().find('='));
    message = "unknown argument '" + word + "'" + suggestion(word, known);
  }
  std::fprintf(stderr, "nat: %s (see 'nat %s--help')\n", message.c_str(),
               command == &app ? "" : (command->get_name() + " ").c_str());
  return static_cast<int>(ErrorKind::usage);
}

// The parser would only say that a subcommand is required.
void check_command_name(const CLI::App& app, int argc, char** argv) {
  if (argc < 2) return;
  const std::string word = argv[1];
  if (word.starts_with('-')) {
    NAT_CHECK(app.get_option_no_throw(word) != nullptr, ErrorKind::usage, "unknown argument '",
              word, "'", suggestion(word, {"--help", "--version"}), " (see 'nat --help')");
    return;
  }
  std::vector<std::string> known;
  for (const CLI::App* command : app.get_subcommands({})) {
    known.push_back(command->get_name());
    if (word == known.back()) return;
  }
  throw Error(ErrorKind::usage,
              str("unknown command '", word, "'", suggestion(word, known), " (see 'nat --help')"));
}

int run(int argc, char** argv) {
  CLI::App app("Noise As Targets: unsupervised learning by predicting noise", "nat");
  app.set_version_flag("--version", std::string("nat ") + kVersion);
  app.require_subcommand(1);
  const std::string_view name = argc > 1 ? argv[1] : "";
  const bool has_recipe = name == "train" || name == "sweep" || name == "inspect";
  const Options defaults = has_recipe ? defaults_from(argc, argv) : Options();
  const std::vector<Command> commands = {demo_command(app),
                                         train_command(app, defaults),
                                         resume_command(app),
                                         sweep_command(app, defaults),
                                         eval_command(app),
                                         embed_command(app),
                                         export_command(app),
                                         neighbors_command(app),
                                         report_command(app),
                                         pack_command(app),
                                         inspect_command(app, defaults),
                                         lap_command(app),
                                         bench_command(app),
                                         doctor_command(app)};
  check_command_name(app, argc, argv);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    return report_usage(app, error);
  }
  for (const Command& command : commands) {
    if (command.app->parsed()) return command.run();
  }
  return static_cast<int>(ErrorKind::usage);
}

// A closed standard stream would give its number to the next file that is opened, and that file
// would get what is printed.
void keep_standard_streams() {
  for (int descriptor = 0; descriptor <= 2; ++descriptor) {
    if (::fcntl(descriptor, F_GETFD) < 0)
      ::open("/dev/null", descriptor == 0 ? O_RDONLY : O_WRONLY);
  }
}

// What was printed may still be on its way when the disk behind stdout is full.
int flushed(int code) {
  errno = 0;
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return code;
  std::fprintf(stderr, "nat: the results cannot be written to stdout: %s\n",
               errno != 0 ? std::strerror(errno) : "an earlier write failed");
  return code == 0 ? static_cast<int>(ErrorKind::io) : code;
}

}  // namespace
}  // namespace nat::tools

int main(int argc, char** argv) {
  nat::tools::keep_standard_streams();
  std::signal(SIGXFSZ, SIG_IGN);  // what 'ulimit -f' forbids is an error, as on a full disk
  std::signal(SIGPIPE, SIG_IGN);  // and so is a pipe that nobody reads any more, once all is kept
  try {
    return nat::tools::flushed(nat::tools::run(argc, argv));
  } catch (const nat::Error& error) {
    std::fprintf(stderr, "nat: %s\n", error.what());
    return static_cast<int>(error.kind());
  } catch (const std::bad_alloc&) {
    std::fprintf(
        stderr,
        "nat: out of memory; free some, or ask for fewer pictures, layers or a smaller batch\n");
    return static_cast<int>(nat::ErrorKind::memory);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "nat: unexpected: %s\n", error.what());
    return static_cast<int>(nat::ErrorKind::unexpected);
  }
}
