#include "trainer/report/report_html.h"

#include <fmt/format.h>
#include <openssl/evp.h>

namespace rehearse {
namespace {

constexpr const char* kStyle = R"css(
:root{color-scheme:light dark;--bg:#f6f6f3;--card:#fff;--ink:#1c1f24;--soft:#5c636e;--grid:#e6e6e1;--axis:#b4b7bb;
--c0:#2563c9;--c1:#d2601a;--c2:#14866d;--c3:#a83a86;--c4:#85690b;--c5:#6550c4;--c6:#c42f3d;--c7:#51606f;
--good:#14866d;--done:#2563c9;--warn:#c77c02;--bad:#c42f3d;--none:#8a9099}
@media(prefers-color-scheme:dark){:root{--bg:#14161a;--card:#1c1f25;--ink:#e6e8eb;--soft:#9aa2ad;--grid:#2b2f37;
--axis:#565d68;--c0:#6ea3f7;--c1:#f0955a;--c2:#4cc3a5;--c3:#df84c3;--c4:#cdb04a;--c5:#a595f5;--c6:#f27783;--c7:#9fb0c0;
--good:#4cc3a5;--done:#6ea3f7;--warn:#eeb04a;--bad:#f27783;--none:#7d8590}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,
"DejaVu Sans",sans-serif;-webkit-text-size-adjust:100%}
main{max-width:1040px;margin:0 auto;padding:28px 20px 60px}
h1{font-size:28px;line-height:1.2;margin:0 0 4px;letter-spacing:-.01em;overflow-wrap:anywhere}
h2{font-size:19px;margin:38px 0 12px}h3{font-size:15px;margin:0}
p{margin:0 0 10px}.soft{color:var(--soft)}.hint{color:var(--soft);font-size:13px;margin:1px 0 8px}
.grid2{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,400px),1fr));gap:16px}
.card{background:var(--card);border:1px solid var(--grid);border-radius:10px;padding:14px 16px;min-width:0}
.tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(46%,215px),1fr));gap:12px;margin-top:20px}
.tile{background:var(--card);border:1px solid var(--grid);border-radius:10px;padding:11px 14px}
.tile b{display:block;font-size:24px;line-height:1.25;font-weight:600;font-variant-numeric:tabular-nums}
.tile span{color:var(--soft);font-size:13px;line-height:1.35;display:block}
.legend{display:flex;flex-wrap:wrap;gap:3px 16px;font-size:13px;margin:2px 0 8px;padding:0;list-style:none}
.legend li{display:flex;align-items:center;gap:6px;overflow-wrap:anywhere}
.legend i{width:16px;height:0;border-top:3px solid currentColor;border-radius:2px;flex:none}
.legend i.dashed{border-top:2px dashed currentColor;border-radius:0}
.pictures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(46%,215px),1fr));gap:12px}
.pictures figure{margin:0}.pictures img{width:100%;border-radius:8px}
.pictures figcaption{color:var(--soft);font-size:12px;overflow-wrap:anywhere}
svg.chart{display:block;width:100%;height:auto}
svg text{font-size:12px;fill:var(--soft);font-variant-numeric:tabular-nums}
svg text.row{fill:var(--ink);font-size:13px}
svg .grid{stroke:var(--grid);stroke-width:1}svg .axis{stroke:var(--axis);stroke-width:1}
svg .line{fill:none;stroke:currentColor;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
svg .faint{stroke-width:1;opacity:.4}svg .dashed{stroke-width:1.5;stroke-dasharray:5 4}
svg .dot{fill:currentColor;stroke:var(--card);stroke-width:1}
svg .bar{stroke:currentColor;stroke-width:3;stroke-linecap:round;opacity:.45}
.c0{color:var(--c0)}.c1{color:var(--c1)}.c2{color:var(--c2)}.c3{color:var(--c3)}.c4{color:var(--c4)}
.c5{color:var(--c5)}.c6{color:var(--c6)}.c7{color:var(--c7)}.ink{color:var(--soft)}
.good{color:var(--good)}.done{color:var(--done)}.warn{color:var(--warn)}.bad{color:var(--bad)}.none{color:var(--none)}
.share{display:flex;height:26px;border-radius:6px;overflow:hidden;gap:1px;margin:4px 0 10px}
.share i{background:currentColor;min-width:1px}
.scroll{overflow-x:auto}
h4{font-size:14px;margin:14px 0 2px}
table{border-collapse:collapse;width:100%;font-size:14px;font-variant-numeric:tabular-nums}
th,td{text-align:right;padding:6px 10px;white-space:nowrap;border-bottom:1px solid var(--grid)}
th{color:var(--soft);font-weight:500;font-size:13px}tr:last-child td{border-bottom:0}
th:first-child,td:first-child{text-align:left;padding-left:0;white-space:normal;min-width:10em}
td small{color:var(--soft);font-size:12px}
.swatch{display:inline-block;width:10px;height:10px;border-radius:3px;background:currentColor;margin-right:8px}
.tag{border:1px solid var(--axis);border-radius:20px;padding:0 7px;font-size:11.5px;color:var(--soft);white-space:nowrap}
details{background:var(--card);border:1px solid var(--grid);border-radius:10px;padding:10px 16px;margin-top:12px}
summary{cursor:pointer;font-weight:600}
pre{overflow-x:auto;font:12.5px/1.5 ui-monospace,"DejaVu Sans Mono",monospace;margin:10px 0 4px}
ul.notes{padding-left:18px;margin:0}
@media(max-width:520px){main{padding:18px 12px 40px}h1{font-size:23px}.tile b{font-size:20px}.card{padding:12px}}
@media print{body{background:#fff}.card,.tile,details{break-inside:avoid}}
)css";

// Bytes of the valid UTF-8 sequence at the start, 0 when there is none.
size_t utf8_length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  const size_t length = lead >= 0xC2 && lead <= 0xDF   ? 2
                        : lead >= 0xE0 && lead <= 0xEF ? 3
                        : lead >= 0xF0 && lead <= 0xF4 ? 4
                                                       : 0;
  if (length == 0 || length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xC0) != 0x80) return 0;
  const bool is_overlong = (lead == 0xE0 && byte(1) < 0xA0) || (lead == 0xF0 && byte(1) < 0x90);
  const bool is_outside = (lead == 0xED && byte(1) > 0x9F) || (lead == 0xF4 && byte(1) > 0x8F);
  return is_overlong || is_outside ? 0 : length;
}

bool is_control(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7F;
}

}  // namespace

std::string escape_html(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    const char c = text[0];
    if (length == 0 || is_control(c))
      out += "\xEF\xBF\xBD";
    else if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '"')
      out += "&quot;";
    else if (c == '\'')
      out += "&#39;";
    else
      out += text.substr(0, length);
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return out;
}

std::string html_page(const std::string& title, const std::string& body) {
  return fmt::format(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>{}</title>\n<style>{}</style>\n"
      "</head>\n<body>\n<main>\n{}</main>\n</body>\n</html>\n",
      escape_html(title), kStyle, body);
}

std::string series_color(size_t index) {
  return fmt::format("c{}", index % kNumColors);
}

std::string html_legend(const std::vector<LegendItem>& items) {
  std::string html = "<ul class=\"legend\">";
  for (const LegendItem& item : items)
    html += fmt::format("<li><i class=\"{}{}\"></i>{}</li>", item.color, item.is_dashed ? " dashed" : "",
                        escape_html(item.name));
  return html + "</ul>";
}

std::string html_card(const std::string& title, const std::string& hint, const std::string& content) {
  return fmt::format("<section class=\"card\"><h3>{}</h3><p class=\"hint\">{}</p>{}</section>\n", escape_html(title),
                     escape_html(hint), content);
}

std::string html_picture(const std::string& png, const std::string& caption) {
  std::string text(4 * ((png.size() + 2) / 3) + 1, '\0');
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                                   reinterpret_cast<const unsigned char*>(png.data()), static_cast<int>(png.size()));
  text.resize(static_cast<size_t>(size));
  const std::string words = escape_html(caption);
  return fmt::format("<figure><img src=\"data:image/png;base64,{}\" alt=\"{}\"><figcaption>{}</figcaption></figure>\n",
                     text, words, words);
}

std::string html_table(const std::vector<std::string>& titles, const std::vector<std::vector<std::string>>& rows) {
  std::string html = "<div class=\"scroll\"><table><thead><tr>";
  for (const std::string& title : titles) html += "<th>" + title + "</th>";
  html += "</tr></thead><tbody>\n";
  for (const auto& row : rows) {
    html += "<tr>";
    for (const std::string& cell : row) html += "<td>" + cell + "</td>";
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

}  // namespace rehearse
