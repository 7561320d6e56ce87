// nat pack: the pictures of a folder, decoded and resized once, as files that training reads at
// the speed of the disk.
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "data/files.h"
#include "data/open.h"
#include "data/packed.h"
#include "engine/durable_file.h"
#include "tools/commands.h"
#include "tools/folder_lock.h"
#include "tools/left_out.h"
#include "tools/output_file.h"
#include "tools/stderr_progress.h"
#include "tools/stop_signals.h"

namespace nat::tools {

namespace {

namespace fs = std::filesystem;

struct Asked {
  std::string data, out;
  int stored_size = 256, threads = 0;
  double max_bad_percent = 5;
  bool json = false;
};

struct Part {
  data::Split split;
  std::unique_ptr<data::Dataset> pictures;
};

// Thrown between two pictures; the files under way go.
struct Stopped {
  int signal;
};

std::vector<Part> open_parts(const Asked& asked) {
  const data::DatasetSpec spec = data::parse_spec(asked.data);
  std::vector<Part> parts;
  for (const data::Split split : {data::Split::train, data::Split::test}) {
    if (split == data::Split::test && !data::has_split(spec, split)) continue;
    parts.push_back({split, data::open_dataset(spec, split,
                                               {.picture_size = asked.stored_size,
                                                .threads = asked.threads,
                                                .keep = data::Keep::disk,
                                                .max_bad_percent = asked.max_bad_percent})});
  }
  return parts;
}

void check(const Asked& asked) {
  NAT_CHECK(!asked.data.empty(), ErrorKind::usage, "--data is empty; give the pictures");
  NAT_CHECK(!asked.out.empty(), ErrorKind::usage, "--out is empty; give a folder");
  require_threads(asked.threads);
  require_range("max-bad-percent", asked.max_bad_percent, 0.0, 100.0);
  require_range("stored-size", asked.stored_size, 1, data::kMaxPictureSize);
  const data::DatasetSpec spec = data::parse_spec(asked.data);
  NAT_CHECK(data::is_packable(spec.format), ErrorKind::usage, "--data ",
            data::printable(asked.data), ": pictures of ", name(spec.format),
            " are stored without compression already; there is nothing to pack");
  require_outside("--out", asked.out, asked.data);
}

bool is_packed_name(const std::string& name) {
  for (const data::Split split : {data::Split::train, data::Split::test}) {
    const data::PackedFiles files = data::packed_files("", split);
    if (name == files.catalog || name == files.pixels) return true;
  }
  return false;
}

void make_folder(const std::string& out) {
  std::error_code error;
  fs::create_directories(out, error);
  NAT_CHECK(!error, ErrorKind::io, data::printable(out), ": cannot create the folder (",
            error.message(), "); choose a folder that can be written to");
}

// Once nobody else packs into it.
void clear_folder(const std::string& out) {
  for (const data::Split split : {data::Split::train, data::Split::test}) {
    const std::string catalog = data::packed_files(out, split).catalog;
    NAT_CHECK(!data::exists(catalog), ErrorKind::usage, "--out ", data::printable(out),
              ": already holds packed pictures (", data::printable(catalog),
              "); choose another folder or remove it");
  }
  // A packing that was killed may have left as much as the disk holds.
  remove_abandoned_in(out, is_packed_name);
}

// Now, not after hours.
void require_space_for(const std::string& out, const std::vector<Part>& parts) {
  std::int64_t bytes = 0;
  for (const Part& part : parts) bytes += data::packed_bytes(*part.pictures);
  require_space(out, bytes,
                "free some disk space, choose another folder or a smaller --stored-size");
}

void pack(const Part& part, const Asked& asked, StopSignals& signals) {
  const data::Dataset& pictures = *part.pictures;
  const data::PackedFiles files = data::packed_files(asked.out, part.split);
  Progress progress = progress_on_stderr();
  std::fputs(remark_lines(pictures).c_str(), stderr);
  progress.note(str(name(part.split), ": ", pictures.size(), " pictures, ",
                    data::packed_bytes(pictures) >> 20, " MiB"));
  DurableFile pixels(files.pixels);
  const auto to = [](DurableFile& file) {
    return [&file](const void* bytes, std::size_t count) { file.write(bytes, count); };
  };
  const std::vector<std::uint64_t> checksums =
      data::write_packed_pixels(pictures, asked.threads, to(pixels), [&](std::int64_t done) {
        progress.update({.done = done, .total = pictures.size()});
        if (const int signal = signals.take(); signal != 0) throw Stopped{signal};
      });
  pixels.commit();
  progress.finish();
  DurableFile catalog(files.catalog);
  data::write_packed_catalog(pictures, part.split, checksums, to(catalog));
  catalog.commit();
}

void print(const Asked& asked, const std::vector<Part>& parts) {
  nlohmann::json json = {{"out", data::printable(asked.out)}};
  for (const Part& part : parts) {
    const data::Dataset& pictures = *part.pictures;
    const std::int64_t bytes = data::packed_bytes(pictures);
    const auto bad = pictures.bad_pictures();
    if (asked.json) {
      json[name(part.split)] = {
          {"pictures", pictures.size()}, {"bytes", bytes}, {"unreadable", bad.size()}};
      continue;
    }
    std::printf("%s: %lld pictures, %lld MiB\n",
                data::printable(data::packed_files(asked.out, part.split).pixels).c_str(),
                static_cast<long long>(pictures.size()), static_cast<long long>(bytes >> 20));
    for (const data::BadPicture& picture : bad) {
      std::fprintf(stderr, "unreadable: %s: %s\n", pictures.name(picture.id).c_str(),
                   data::printable(picture.reason).c_str());
    }
  }
  if (asked.json) std::printf("%s\n", json.dump().c_str());
}

int pack(const Asked& asked) {
  check(asked);
  make_folder(asked.out);
  const FolderLock lock(
      asked.out, ErrorKind::usage,
      str("--out ", data::printable(asked.out),
          ": another process is packing into it; wait for it, or choose another folder"));
  clear_folder(asked.out);
  const std::vector<Part> parts = open_parts(asked);
  require_space_for(asked.out, parts);
  StopSignals signals;  // until here there is nothing to clear away
  try {
    for (const Part& part : parts) pack(part, asked, signals);
  } catch (const Stopped& stopped) {
    std::fprintf(stderr, "nat: stopped; the part under way was removed\n");
    return 128 + stopped.signal;
  }
  print(asked, parts);
  return 0;
}

}  // namespace

Command pack_command(CLI::App& nat) {
  CLI::App* app = nat.add_subcommand(
      "pack", "decode and resize the pictures of a folder once, for training at full speed");
  const auto asked = std::make_shared<Asked>();
  app->add_option("--data", asked->data,
                  "the pictures: a folder, or any format of picture files: [FORMAT:]PATH")
      ->required();
  app->add_option("--out", asked->out, "the folder to make; train with --data packed:FOLDER")
      ->required();
  add_value(*app, "--stored-size", asked->stored_size,
            "short side of the stored pictures, as training will ask for it");
  add_value(*app, "--max-bad-percent", asked->max_bad_percent,
            "stop when more pictures than this are unreadable");
  add_value(*app, "--threads", asked->threads, "threads that decode; 0 = one a core");
  app->add_flag("--json", asked->json, "print the outcome as JSON");
  return {app, [asked] { return pack(*asked); }};
}

}  // namespace nat::tools
