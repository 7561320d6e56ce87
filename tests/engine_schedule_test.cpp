// Learning rate schedules against their formulas.
#include <doctest/doctest.h>

#include <cmath>
#include <initializer_list>

#include "engine/schedule.h"

using namespace nat;

namespace {
// The formulas are a handful of double operations on values of order 1.
bool close(double a, double b) { return std::abs(a - b) <= 1e-14; }
}  // namespace

TEST_CASE("the constant schedule is the rate at every step") {
  const Schedule schedule{.kind = Schedule::Kind::constant, .rate = 0.25};
  for (const int step : {0, 1, 500, 100000}) CHECK(schedule.at(step, 1000) == 0.25);
}

TEST_CASE("the cosine schedule falls from the rate to zero along half a period") {
  const Schedule schedule{.kind = Schedule::Kind::cosine, .rate = 0.5};
  CHECK(schedule.at(0, 120) == 0.5);
  CHECK(close(schedule.at(30, 120), 0.25 * (1 + std::sqrt(0.5))));
  CHECK(close(schedule.at(40, 120), 0.375));
  CHECK(close(schedule.at(60, 120), 0.25));
  CHECK(close(schedule.at(80, 120), 0.125));
  CHECK(close(schedule.at(120, 120), 0));
  for (int step = 0; step < 120; ++step) CHECK(schedule.at(step + 1, 120) < schedule.at(step, 120));
  CHECK(schedule.at(0, 0) == 0.5);  // a run of no steps is no division by zero
}

TEST_CASE("the inverse schedule starts to fall at t0") {
  const Schedule schedule{
      .kind = Schedule::Kind::inverse, .rate = 0.01, .gamma = 0.001, .t0 = 1000};
  CHECK(schedule.at(0, 1) == 0.01);
  CHECK(schedule.at(1000, 1) == 0.01);
  CHECK(close(schedule.at(2000, 1), 0.005));
  CHECK(close(schedule.at(10000, 1), 0.001));
}
