#include "models/torch_prelude.h"
