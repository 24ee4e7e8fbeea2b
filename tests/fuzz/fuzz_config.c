/* fuzz_config.c - a repository's configuration. */

#include "core/repo/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct repo_config config;

	if (config_parse(&config, (struct bytes){ data, size }, NULL) == 0)
		config_fini(&config);
	return 0;
}
