/*
 * limits - what the data model allows (docs/design.md §3). Each is tested at the limit and one past
 * it.
 */
#ifndef HOLDFAST_MODEL_LIMITS_H
#define HOLDFAST_MODEL_LIMITS_H

#define MEMORY_CONTENT_MAX 50000  /* code points; at least 1 */
#define MEMORY_TAGS_MAX 64        /* tags of one memory */
#define MEMORY_TAG_MAX_BYTES 128  /* at least 1 */
#define MEMORY_REFERENCES_MAX 256 /* references of one memory */
#define MEMORY_REFERENCE_CONTEXT_MAX_BYTES 1024
#define MEMORY_METADATA_MAX_BYTES (16 * 1024) /* of its canonical JSON */
#define MEMORY_METADATA_DEPTH_MAX 32          /* levels: room for wrapping below JSON_DEPTH_MAX */
#define PROJECT_ID_MAX_BYTES 200              /* at least 1 */
#define PROJECT_NAME_MAX_BYTES 200
#define PROJECT_DESCRIPTION_MAX_BYTES 4096
#define SESSION_SUMMARY_MAX 50000 /* code points */
#define TASK_TEXT_MAX_BYTES 500   /* each of id, title, status, source */
#define SOURCE_MAX_BYTES 128      /* who wrote a change: "cli", "mcp:claude-code", "http:ci", ... */
#define VERSION_MAX ((uint64_t)9007199254740991) /* 2^53 - 1: what JSON can carry */
/*
 * The highest sync_version that may be given from outside: half of what there is, so that whoever
 * gives the highest leaves 2^52 changes to come. What counts microseconds since 1970 has room. What
 * is journaled already (a vault's changes, a recovery's) may have any version up to VERSION_MAX.
 */
#define VERSION_GIVEN_MAX ((uint64_t)4503599627370496)
#define CHANGE_ID_MAX_BYTES PROJECT_ID_MAX_BYTES /* a UUID's text or a project's id */
#define CHANGE_RECORD_MAX (1024 * 1024) /* bytes of canonical JSON: every valid memory fits */

#endif
