// Progress of a run for a person who watches: one line that is redrawn on a terminal, a plain line
// every few seconds anywhere else. Nothing here prints: the text goes to the given sink, and the
// time comes from the given clock.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <string_view>

namespace nat {

// Where a run is.
struct ProgressState {
  int epoch = 0, epochs = 0;         // the one under way, from 0; of how many, 0 = not shown
  std::int64_t done = 0, total = 0;  // images of the whole run
  double loss = std::numeric_limits<double>::quiet_NaN();  // NaN: not shown
};

// "epoch 3/12 [=====>        ]  43%  9812 images/s  ETA 1:23  loss 1.5344", at most `width`
// characters; the bar gives way first. width 0 = no bar, no limit.
std::string progress_text(const ProgressState& state, double images_per_second, int width);

std::string duration_text(double seconds);  // "0:07", "1:23", "2:05:09"

// Images per second, averaged over about the last ten seconds.
class Throughput {
 public:
  void update(std::int64_t done, double now);
  double images_per_second() const { return rate_; }

 private:
  std::int64_t done_ = 0;
  double time_ = 0, rate_ = 0;
  bool started_ = false;
};

struct ProgressOptions {
  bool terminal = false;
  int width = 80;  // of the terminal
};

class Progress {
 public:
  using Sink = std::function<void(std::string_view)>;
  using Clock = std::function<double()>;  // seconds, from any origin, never backwards
  Progress(ProgressOptions options, Sink sink, Clock clock);

  void update(const ProgressState& state);  // cheap enough for every step
  void note(std::string_view line);         // a line of its own, above the bar
  void finish();                            // leaves the last state on screen

 private:
  void draw();
  void clear();

  ProgressOptions options_;
  Sink sink_;
  Clock clock_;
  Throughput throughput_;
  ProgressState state_;
  double last_drawn_ = 0;
  std::size_t drawn_width_ = 0;  // of the line now on the terminal
  bool pending_ = false;         // state_ is newer than what was drawn
};

// Terminal or not, and how wide, for a file descriptor (2 = stderr). TERM=dumb is no terminal.
ProgressOptions detect_terminal(int descriptor);
Progress::Clock steady_clock();

}  // namespace nat
