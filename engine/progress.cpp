#include "engine/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace nat {

namespace {

constexpr double kTerminalInterval = 0.1;  // seconds between two drawings
constexpr double kPlainInterval = 5;
constexpr double kAveragingTime = 10;  // seconds
constexpr int kMinBar = 8, kMaxBar = 40;

double fraction(const ProgressState& state) {
  if (state.total <= 0) return 0;
  const double value = static_cast<double>(state.done) / static_cast<double>(state.total);
  return std::clamp(value, 0.0, 1.0);
}

std::string bar(double fraction, int cells) {
  const int filled = static_cast<int>(fraction * cells);
  std::string text(static_cast<std::size_t>(cells), ' ');
  std::fill_n(text.begin(), filled, '=');
  if (filled < cells) text[static_cast<std::size_t>(filled)] = '>';
  return "[" + text + "]";
}

template <class... Values>
std::string format(const char* pattern, Values... values) {
  char text[128];
  std::snprintf(text, sizeof text, pattern, values...);
  return text;
}

}  // namespace

std::string duration_text(double seconds) {
  const auto whole = static_cast<long>(std::llround(std::max(seconds, 0.0)));
  const long hours = whole / 3600, minutes = whole / 60 % 60, rest = whole % 60;
  if (hours > 0) return format("%ld:%02ld:%02ld", hours, minutes, rest);
  return format("%ld:%02ld", minutes, rest);
}

std::string progress_text(const ProgressState& state, double images_per_second, int width) {
  const std::string left =
      state.epochs == 0
          ? "pictures"
          : format("epoch %d/%d", std::min(state.epoch + 1, state.epochs), state.epochs);
  std::string right = format("%3.0f%%", std::floor(100 * fraction(state)));
  if (images_per_second > 0) {
    right += format("  %.*f images/s", images_per_second < 10 ? 1 : 0, images_per_second);
    const auto remaining = static_cast<double>(state.total - state.done);
    right += "  ETA " + duration_text(remaining / images_per_second);
  }
  if (!std::isnan(state.loss)) right += format("  loss %.4f", state.loss);

  const int room = width - static_cast<int>(left.size() + right.size()) - 4;  // " [" and "] "
  if (room >= kMinBar)
    return left + " " + bar(fraction(state), std::min(room, kMaxBar)) + " " + right;
  std::string text = left + "  " + right;
  if (width > 0 && text.size() > static_cast<std::size_t>(width)) {
    text.resize(static_cast<std::size_t>(width));
  }
  return text;
}

void Throughput::update(std::int64_t done, double now) {
  if (!started_ || done < done_) {
    started_ = true;
  } else if (now <= time_) {
    return;
  } else {
    const double elapsed = now - time_;
    const double current = static_cast<double>(done - done_) / elapsed;
    const double weight = rate_ == 0 ? 1 : 1 - std::exp(-elapsed / kAveragingTime);
    rate_ += weight * (current - rate_);
  }
  done_ = done;
  time_ = now;
}

Progress::Progress(ProgressOptions options, Sink sink, Clock clock)
    : options_(options), sink_(std::move(sink)), clock_(std::move(clock)), last_drawn_(clock_()) {}

void Progress::update(const ProgressState& state) {
  state_ = state;
  pending_ = true;
  const double now = clock_();
  throughput_.update(state.done, now);
  const double interval = options_.terminal ? kTerminalInterval : kPlainInterval;
  if (now - last_drawn_ < interval) return;
  last_drawn_ = now;
  draw();
}

void Progress::note(std::string_view line) {
  clear();
  sink_(std::string(line) + "\n");
  if (options_.terminal && state_.total > 0) draw();
}

void Progress::finish() {
  if (pending_) draw();
  if (options_.terminal && drawn_width_ > 0) sink_("\n");
  drawn_width_ = 0;
}

void Progress::draw() {
  pending_ = false;
  const double rate = throughput_.images_per_second();
  if (!options_.terminal) {
    sink_(progress_text(state_, rate, 0) + "\n");
    return;
  }
  // One column stays free: a full line would wrap on some terminals.
  std::string text = progress_text(state_, rate, options_.width - 1);
  const std::size_t length = text.size();
  if (length < drawn_width_) text.append(drawn_width_ - length, ' ');
  sink_("\r" + text);
  drawn_width_ = length;
}

void Progress::clear() {
  if (drawn_width_ == 0) return;
  sink_("\r" + std::string(drawn_width_, ' ') + "\r");
  drawn_width_ = 0;
}

ProgressOptions detect_terminal(int descriptor) {
  ProgressOptions options;
  const char* type = std::getenv("TERM");
  options.terminal =
      ::isatty(descriptor) == 1 && type != nullptr && std::string_view(type) != "dumb";
  winsize size{};
  if (::ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) options.width = size.ws_col;
  return options;
}

Progress::Clock steady_clock() {
  return [] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
  };
}

}  // namespace nat
