// The header in C++: it compiles, it links, and callbacks can be C++.

#include "mworker.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#define CHECK(condition)                                                        \
    do {                                                                        \
        if (!(condition)) {                                                     \
            std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            std::exit(98);                                                      \
        }                                                                       \
    } while (0)

extern "C" {
static void on_log(void *user, int level, const char *text)
{
    std::string *log = static_cast<std::string *>(user);
    CHECK(level == MWORKER_LOG_WARNING);
    *log += text;
}
}

int main()
{
    std::string log;
    mworker_host host = mworker_host();
    host.size = sizeof(host);
    host.name = "c++";
    host.user = &log;
    host.log = on_log;

    mworker *mw = NULL;
    CHECK(mworker_abi() == MWORKER_ABI);
    CHECK(mworker_new(&host, &mw) == MWORKER_OK);
    CHECK(mworker_log(mw, MWORKER_LOG_WARNING, "hello") == MWORKER_OK);
    CHECK(log == "hello");
    CHECK(mworker_ready(mw) == MWORKER_ERR_ROLE);
    CHECK(std::strlen(mworker_error(mw)) > 0);
    CHECK(mworker_take_over(mw) == MWORKER_OK);
    mworker_counter counter = mworker_counter();
    CHECK(mworker_worker_beat(mw) == MWORKER_ERR_ABSENT);
    CHECK(mworker_counters(mw, 1, &counter, 1) == 0);
    CHECK(mworker_tick(mw) == MWORKER_OK && mworker_timeout(mw) == -1);
    const mworker_row *row = mworker_row_next(mw, NULL);
    CHECK(row != NULL && row->options == MWORKER_ROW_MASTER);

    mworker_text *text = NULL;
    CHECK(mworker_show_proc(mw, 0, &text) == MWORKER_OK);
    std::size_t length = 0;
    std::string table;
    for (;;) {
        const char *piece = mworker_text_peek(text, 100, &length);
        if (length == 0)
            break;
        table.append(piece, length);
        CHECK(mworker_text_advance(text, length) == MWORKER_OK);
    }
    CHECK(table.compare(0, 5, "#<PID") == 0);
    mworker_text_free(text);
    mworker_free(mw);
    return 0;
}
