/* fuzz_config - no text makes the configuration's reader crash, and what it refuses it names by
 * line. */
#include "engine/config_keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    struct config config;
    struct err err = ERR_INIT;

    if (config_load("/nonexistent", NULL, &config, &err) != 0) {
        return 0; /* an environment that is wrong is not this test's */
    }
    if (config_parse("/x/holdfast.yaml", text, &config, &err) != 0 &&
        !strstr(err.message, "line ")) {
        abort();
    }
    config_done(&config);
    return 0;
}
