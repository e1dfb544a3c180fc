/*
 * replay_main - runs a fuzz target over the files of its corpus folders, where libFuzzer is not
 * linked.
 *
 * Usage: fuzz_NAME DIRECTORY...   Prints each input's name, then "N inputs", and exits 0; a finding
 * aborts after its name. A missing or empty folder is a failure: a replay that replays nothing
 * proves nothing.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Each input gets its own exact allocation, so that a sanitizer sees a read one past its end. */
static int replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    struct stat st;

    if (file == NULL || fstat(fileno(file), &st) != 0) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        if (file != NULL) {
            (void)fclose(file); /* nothing was written */
        }
        return -1;
    }
    size_t size = (size_t)st.st_size;
    uint8_t *data = malloc(size);
    size_t got = size == 0 ? 0 : fread(data, 1, size, file);
    (void)fclose(file); /* nothing was written */
    if (got != size) {
        fprintf(stderr, "%s: read %zu of %zu bytes\n", path, got, size);
        free(data);
        return -1;
    }
    fprintf(stderr, "%s\n", path);
    (void)LLVMFuzzerTestOneInput(data, size); /* always 0; a finding aborts */
    free(data);
    return 0;
}

static int is_input(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* Returns the number of inputs, or -1. */
static int replay_directory(const char *path)
{
    struct dirent **entries = NULL;
    int count = scandir(path, &entries, is_input, alphasort);
    int result = count;

    if (count < 0) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return -1;
    }
    for (int i = 0; i < count; i++) {
        char *name = NULL;
        if (result < 0 || asprintf(&name, "%s/%s", path, entries[i]->d_name) < 0 ||
            replay_file(name) < 0) {
            result = -1;
        }
        free(name);
        free(entries[i]);
    }
    free(entries);
    return result;
}

int main(int argc, char **argv)
{
    int total = 0;

    for (int i = 1; i < argc; i++) {
        int count = replay_directory(argv[i]);
        if (count < 0) {
            return EXIT_FAILURE;
        }
        total += count;
    }
    printf("%d inputs\n", total);
    return total > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
