// The best and the worst of a scored set, drawn by the task.
#pragma once

#include <vector>

#include "trainer/observe/pictures.h"
#include "trainer/tasks/task.h"

namespace rehearse {

// The `each` worst examples and as many of the best, scored once more for their detail, on this rank alone; of equal
// ones the first. Empty where the task draws nothing, and of what could not be loaded.
std::vector<ShownPicture> drawn_extremes(Task& task, const ExampleSet& set, const std::vector<ExampleScore>& scores,
                                         size_t each);

}  // namespace rehearse
