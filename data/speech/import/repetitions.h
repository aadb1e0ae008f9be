// Foreign corpora list the same piece of audio more than once.
#pragma once

#include "data/speech/import/importer.h"

namespace rehearse {

// Keeps the first of all items that are the same piece of audio (file, offset, duration, channel). One that says the
// same joins it, with its subsets; one with another text or domain is rejected, with both. Items that the source tells
// apart by names of their own stay.
void merge_repetitions(ImportedCorpus& corpus);

// Domains that no source gave: the name of the first subset.
void fill_domains(ImportedCorpus& corpus);

// Sets all stable ids. Equal file names in different folders get ids from their paths below root; what is equal even so
// is rejected.
void set_ids(ImportedCorpus& corpus, const fs::path& root);

}  // namespace rehearse
