#include "tools/report/svg.h"

#include <charconv>
#include <iterator>

#include "tools/report/text.h"

namespace nat::report {

namespace {

// A tenth of a unit is finer than a screen.
std::string coordinate(double value) {
  char digits[64];
  const auto end =
      std::to_chars(std::begin(digits), std::end(digits), value, std::chars_format::fixed, 1).ptr;
  return std::string(digits, end);
}

std::string attribute(std::string_view name, std::string_view value) {
  return " " + std::string(name) + "=\"" + std::string(value) + "\"";
}

std::string attribute(std::string_view name, double value) {
  return attribute(name, coordinate(value));
}

std::string_view name_of(Anchor anchor) {
  return anchor == Anchor::start ? "start" : anchor == Anchor::middle ? "middle" : "end";
}

}  // namespace

void Svg::line(double x1, double y1, double x2, double y2, std::string_view style) {
  content_ += "<line" + attribute("class", style) + attribute("x1", x1) + attribute("y1", y1) +
              attribute("x2", x2) + attribute("y2", y2) + "/>";
}

void Svg::circle(double x, double y, double radius, std::string_view style) {
  content_ += "<circle" + attribute("class", style) + attribute("cx", x) + attribute("cy", y) +
              attribute("r", radius) + "/>";
}

void Svg::polyline(const std::vector<std::pair<double, double>>& points, std::string_view style) {
  std::string list;
  for (const auto& [x, y] : points) {
    list += (list.empty() ? "" : " ") + coordinate(x) + "," + coordinate(y);
  }
  content_ += "<polyline" + attribute("class", style) + attribute("points", list) + "/>";
}

void Svg::text(double x, double y, std::string_view content, std::string_view style,
               Anchor anchor) {
  content_ += "<text" + attribute("class", style) + attribute("x", x) + attribute("y", y) +
              attribute("text-anchor", name_of(anchor)) + ">" + escape(content) + "</text>";
}

std::string Svg::element(double width, double height, std::string_view description) const {
  return "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"plot\" role=\"img\" viewBox=\"0 0 " +
         coordinate(width) + " " + coordinate(height) + "\"><title>" + escape(description) +
         "</title>" + content_ + "</svg>";
}

}  // namespace nat::report
