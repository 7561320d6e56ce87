// The report of a run as one HTML file: inline SVG and PNG, no script, nothing fetched from
// anywhere. It reads well on a phone, on paper and in the dark.
//
// All text is escaped here. Sections without content are left out.
#pragma once

#include <string>

#include "tools/report/report_data.h"

namespace nat::report {

std::string html_report(const ReportData& data);

}  // namespace nat::report
