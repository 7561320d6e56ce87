// Writes the elements of one SVG picture. Every style is a CSS class; text is escaped here.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nat::report {

enum class Anchor { start, middle, end };

class Svg {
 public:
  void line(double x1, double y1, double x2, double y2, std::string_view style);
  void circle(double x, double y, double radius, std::string_view style);
  void polyline(const std::vector<std::pair<double, double>>& points, std::string_view style);
  void text(double x, double y, std::string_view content, std::string_view style,
            Anchor anchor = Anchor::start);

  // The whole <svg class="plot"> element; `description` is read to those who cannot see it.
  std::string element(double width, double height, std::string_view description) const;

 private:
  std::string content_;
};

}  // namespace nat::report
