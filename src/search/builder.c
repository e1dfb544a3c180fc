#include <stdlib.h>

#include "base/fault.h"
#include "base/file.h"
#include "search/feed.h"
#include "search/index.h"

struct index_builder {
    char *folder;
    struct index_file *file;
};

int index_builder_start(const char *folder, struct index_builder **ret, struct err *err)
{
    struct index_builder *builder = xcalloc(1, sizeof(*builder));

    builder->folder = xstrdup(folder);
    int result = index_file_remove(folder, err);
    if (result == 0) {
        result = index_file_open(folder, INDEX_FILE_BULK, &builder->file, err);
    }
    if (result < 0) {
        index_builder_free(builder);
        return result;
    }
    *ret = builder;
    return 0;
}

static int fill_all(struct index_builder *builder, struct reader *reader, struct err *err)
{
    AUTO(cursors_done) struct cursors cursors = {.items = NULL};
    struct cursors none = {.items = NULL};
    int64_t from = 0;
    bool end;

    int result = feed_heads(reader, &cursors, err);
    if (result == 0) {
        result = feed_fill(builder->file, reader, &cursors, &from, SIZE_MAX, &end, err);
    }
    if (result == 0) {
        result = cursors_save(&cursors, &none, builder->file, err);
    }
    return result;
}

/* In one transaction without a journal: what a crash leaves behind says that it is unfinished. */
static int build(struct index_builder *builder, struct reader *reader, struct err *err)
{
    int result = index_file_begin(builder->file, err);
    if (result == 0) {
        result = fill_all(builder, reader, err);
    }
    CRASH_POINT("index.build.filled");
    if (result == 0) {
        result = index_file_finish(builder->file, err);
    }
    if (result == 0) {
        result = index_file_commit(builder->file, err);
    }
    if (result == 0) {
        result = index_file_seal(builder->file, err);
    }
    return result;
}

int index_builder_run(struct index_builder *builder, struct err *err)
{
    struct reader *reader;

    int result = read_folder(builder->folder, &reader, err);
    if (result == 0) {
        result = build(builder, reader, err);
        read_end(reader);
    }
    index_file_close(builder->file);
    builder->file = NULL;
    if (result == 0) {
        result = file_sync_dir(builder->folder, err);
    }
    return result;
}

void index_builder_free(struct index_builder *builder)
{
    if (builder != NULL) {
        index_file_close(builder->file);
        free(builder->folder);
        free(builder);
    }
}
