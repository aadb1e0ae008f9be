// The table and the file of `rehearse model`.
#include <cmath>
#include <cstdio>

#include "trainer/base/error.h"
#include "trainer/base/text/table.h"
#include "trainer/examine/model_cost.h"

namespace rehearse {
namespace {

constexpr double kAgreement = 0.05;  // of the rows with a whole step

std::string number(double value, int digits) {
  char text[48];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

// Three figures that count.
std::string figures(double value) {
  return number(value, value >= 100 ? 0 : value >= 10 ? 1 : 2);
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text;
  for (const int64_t extent : shape) text += (text.empty() ? "[" : ", ") + std::to_string(extent);
  return text.empty() ? "" : text + "]";
}

std::string mib(int64_t bytes) {
  return figures(static_cast<double>(bytes) / (1 << 20));
}

std::vector<TextTable::Column> columns(const ModelCost& cost) {
  std::vector<TextTable::Column> all = {
      {"", TextTable::kLeft}, {"type", TextTable::kLeft}, {"output", TextTable::kLeft}, {"stride"}, {"field"}};
  if (cost.frame_ms > 0) all.push_back({"field ms"});
  for (const char* title : {"parameters", "MFLOP", "kept MiB"}) all.push_back({title});
  if (cost.passes > 0)
    for (const char* title : {"forward ms", "backward ms", "time %", "GFLOP/s", "of product %"}) all.push_back({title});
  return all;
}

double rate_of(const StageCost& stage) {
  return stage.seconds() > 0 ? (stage.forward_flops + stage.backward_flops) / stage.seconds() : 0;
}

void add_times(const ModelCost& cost, const StageCost& stage, std::vector<std::string>& row) {
  if (cost.passes == 0) return;
  row.push_back(number(1000 * stage.forward_s, 2));
  row.push_back(number(1000 * stage.backward_s, 2));
  row.push_back(number(100 * stage.seconds() / cost.stages_s(), 1));
  const double rate = rate_of(stage);
  row.push_back(rate > 0 ? number(rate / 1e9, 1) : "");
  row.push_back(rate > 0 ? number(100 * rate / cost.product_flops_per_s, 0) : "");
}

std::vector<std::string> row_of(const ModelCost& cost, const StageCost& stage) {
  const bool is_block = !stage.shape.empty();
  const bool is_all = stage.field_frames == 0;
  std::vector<std::string> row = {stage.name, stage.type, shape_text(stage.shape),
                                  is_block ? std::to_string(stage.total_stride) : "",
                                  !is_block ? ""
                                  : is_all  ? "all"
                                            : std::to_string(stage.field_frames)};
  if (cost.frame_ms > 0)
    row.push_back(!is_block ? "" : is_all ? "all" : figures(static_cast<double>(stage.field_frames) * cost.frame_ms));
  row.push_back(is_block ? std::to_string(stage.parameters) : "");
  row.push_back(stage.forward_flops > 0 ? figures(stage.forward_flops / 1e6) : "");
  row.push_back(mib(stage.kept_bytes));
  add_times(cost, stage, row);
  return row;
}

StageCost sum_of(const ModelCost& cost) {
  StageCost sum;
  sum.name = "all";
  for (const StageCost& one : cost.stages) {
    sum.parameters += one.parameters;
    sum.forward_flops += one.forward_flops;
    sum.backward_flops += one.backward_flops;
    sum.kept_bytes += one.kept_bytes;
    sum.forward_s += one.forward_s;
    sum.backward_s += one.backward_s;
  }
  return sum;
}

std::string times_text(const ModelCost& cost) {
  const double difference = cost.stages_s() / cost.whole_s - 1;
  std::string text = concat("times: medians of ", cost.passes, " passes; ", cost.threads,
                            cost.threads == 1 ? " thread, " : " threads, ", cost.precision,
                            "; of product: of what a product of 3000 x 256 by 256 x 256 reaches, ",
                            number(cost.product_flops_per_s / 1e9, 1), " GFLOP/s (a convolution may be faster)\n",
                            "a whole step (forward, loss, backward) takes ", number(1000 * cost.whole_s, 2),
                            " ms; the rows add up to ", number(1000 * cost.stages_s(), 2), " ms, ",
                            number(100 * std::abs(difference), 1), " % ", difference < 0 ? "less" : "more");
  if (std::abs(difference) <= kAgreement) return text + "\n";
  return text + concat(": more than ", number(100 * kAgreement, 0), " % apart; was the machine busy? measure again\n");
}

}  // namespace

double ModelCost::stages_s() const {
  double sum = 0;
  for (const StageCost& one : stages) sum += one.seconds();
  return sum;
}

std::string model_cost_text(const ModelCost& cost) {
  std::string text = concat("input ", shape_text(cost.input), cost.example_size.empty() ? "" : ", examples of ",
                            cost.example_size, "\n");
  TextTable table(columns(cost));
  for (const StageCost& stage : cost.stages) table.add_row(row_of(cost, stage));
  table.add_rule();
  std::vector<std::string> sum = row_of(cost, sum_of(cost));
  sum[cost.frame_ms > 0 ? 6 : 5] = std::to_string(sum_of(cost).parameters);
  table.add_row(std::move(sum));
  text += table.text();
  text +=
      "field: frames of the input that one frame of the output depends on; MFLOP: forward, of products, a multiply-add"
      " is two; kept: memory that the forward pass holds for the backward one, its result among it\n";
  if (cost.passes > 0) text += times_text(cost);
  for (const std::string& doubt : cost.doubts) text += "warning: " + doubt + "\n";
  return text;
}

nlohmann::json model_cost_json(const ModelCost& cost) {
  nlohmann::json stages = nlohmann::json::array();
  for (const StageCost& one : cost.stages) {
    nlohmann::json row = {{"name", one.name},
                          {"type", one.type},
                          {"forward_flops", one.forward_flops},
                          {"backward_flops", one.backward_flops},
                          {"kept_bytes", one.kept_bytes}};
    if (!one.shape.empty()) {
      row["output"] = one.shape;
      row["total_stride"] = one.total_stride;
      row["field_frames"] = one.field_frames == 0 ? nlohmann::json("all") : nlohmann::json(one.field_frames);
      row["parameters"] = one.parameters;
    }
    if (cost.passes > 0) {
      row["forward_s"] = one.forward_s;
      row["backward_s"] = one.backward_s;
      row["flops_per_s"] = rate_of(one);
    }
    stages.push_back(std::move(row));
  }
  nlohmann::json all = {{"input", cost.input},         {"frame_ms", cost.frame_ms}, {"threads", cost.threads},
                        {"precision", cost.precision}, {"stages", stages},          {"warnings", cost.doubts}};
  if (cost.passes > 0) {
    all["passes"] = cost.passes;
    all["stages_s"] = cost.stages_s();
    all["whole_s"] = cost.whole_s;
    all["product_flops_per_s"] = cost.product_flops_per_s;
  }
  return all;
}

}  // namespace rehearse
