#include "trainer/observe/terms.h"

#include <map>

namespace rehearse {
namespace {

std::map<std::string, TaskTerms>& all_terms() {
  static std::map<std::string, TaskTerms> terms;
  return terms;
}

}  // namespace

const TaskTerms& terms_of(const std::string& task) {
  TaskTerms& terms = all_terms()[task];
  if (terms.task.empty()) terms.task = task;
  return terms;
}

bool add_terms(const TaskTerms& terms) {
  return all_terms().insert_or_assign(terms.task, terms).second;
}

}  // namespace rehearse
