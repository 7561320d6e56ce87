// Text for HTML and SVG: escaping, numbers, base64.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace nat::report {

// Safe between tags and inside quoted attributes, in HTML and in XML: & < > " ' become entities;
// control characters and bytes that are not UTF-8 become U+FFFD.
std::string escape(std::string_view text);

std::string fixed(double value, int decimals);         // "1.50"
std::string signed_fixed(double value, int decimals);  // "+1.50", "−0.30" (true minus sign)
std::string grouped(std::int64_t value);               // "60,000"
std::string seconds_text(double seconds);              // "0.42 s", "12.3 s", "4 min 05 s"

std::string base64(std::string_view bytes);

}  // namespace nat::report
