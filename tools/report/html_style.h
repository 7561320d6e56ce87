// The style sheet of the report page; the colours are those of plot_style().
#pragma once

#include <string_view>

namespace nat::report {

inline constexpr std::string_view kPageStyle = R"(
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--page);color:var(--ink);line-height:1.55;
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue","Liberation Sans",Arial,sans-serif}
main{max-width:1040px;margin:0 auto;padding:56px 28px 64px}
h1{font-size:34px;line-height:1.15;letter-spacing:-.02em;margin:0 0 12px;overflow-wrap:anywhere}
h2{font-size:20px;letter-spacing:-.01em;margin:0 0 6px}
h3{font-size:16px;margin:28px 0 4px}
p{margin:0 0 12px;max-width:68ch}
.eyebrow{color:var(--muted);font-size:13px;letter-spacing:.06em;text-transform:uppercase;margin:0 0 10px}
.summary{font-size:18px;color:var(--soft)}
.note{color:var(--muted);font-size:14px}
section{margin-top:56px}
.facts{display:flex;flex-wrap:wrap;gap:18px 44px;margin:28px 0 0;
padding:20px 0;border-top:1px solid var(--hair);border-bottom:1px solid var(--hair)}
.facts dt{color:var(--muted);font-size:13px}
.facts dd{margin:0;font-size:18px;font-weight:600;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
.split{display:grid;grid-template-columns:minmax(0,1.12fr) minmax(0,1fr);gap:44px;align-items:start;margin-top:20px}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(380px,100%),1fr));gap:40px 44px;margin-top:20px}
figure{margin:0}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:14px;font-variant-numeric:tabular-nums}
th,td{padding:7px 0 7px 14px;text-align:right;white-space:nowrap;border-bottom:1px solid var(--hair)}
th:first-child,td:first-child{text-align:left;padding-left:0}
thead th{color:var(--muted);font-weight:500;font-size:13px;vertical-align:bottom}
tbody th{font-weight:400;color:var(--soft)}
tbody th[colspan]{font-weight:600;color:var(--ink);padding-top:18px;border-bottom-color:var(--axis)}
.error{color:var(--muted);font-size:12px}
.trained{font-weight:600}
.up{color:var(--good);font-weight:600}
.down{color:var(--bad);font-weight:600}
.pixels{display:block;width:100%;height:auto;image-rendering:pixelated;border-radius:3px;background:var(--hair)}
.filters{display:grid;grid-template-columns:repeat(auto-fill,minmax(52px,1fr));gap:8px;margin-top:20px}
.neighbours{display:grid;gap:14px;margin-top:20px}
.row{display:grid;grid-template-columns:113px 1fr;gap:22px}
.row>figure{border-right:1px solid var(--axis);padding-right:22px}
.near{display:grid;grid-template-columns:repeat(var(--n),minmax(0,90px));gap:10px}
figcaption{font-size:12px;line-height:1.3;margin-top:4px;color:var(--muted);overflow-wrap:anywhere}
.other{color:var(--bad)}
.bar{display:block;height:8px;border-radius:2px;background:var(--c0);min-width:1px}
td.wide{width:45%;padding-left:20px}
details summary{cursor:pointer;font-size:20px;font-weight:700;letter-spacing:-.01em}
details table{margin-top:12px}
.options td{text-align:left;white-space:normal;overflow-wrap:anywhere}
code{font:13px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace;overflow-wrap:anywhere}
footer{margin-top:64px;padding-top:16px;border-top:1px solid var(--hair);color:var(--muted);font-size:14px}
@media(max-width:820px){.split{grid-template-columns:minmax(0,1fr)}}
@media(max-width:560px){main{padding:32px 18px 48px}.facts{gap:14px 28px}h1{font-size:27px}.summary{font-size:17px}section{margin-top:44px}
.results th{white-space:normal}th,td{padding-left:9px}.row{grid-template-columns:84px 1fr;gap:12px}.row>figure{padding-right:12px}.near{grid-template-columns:repeat(4,minmax(0,1fr));gap:8px}
.results td:not(.gain) .error{display:none}td.wide{padding-left:10px}
figcaption{font-size:11px}.filters{grid-template-columns:repeat(auto-fill,minmax(44px,1fr));gap:6px}}
@media print{main{max-width:none;padding:0}section,figure,.row{break-inside:avoid}}
)";

}  // namespace nat::report
