/*
 * The configuration: one rule a line, '#' starts a comment.
 *
 *     listen 127.0.0.1:8000 backend 127.0.0.1:9000
 *     listen [::1]:8000     backend 127.0.0.1:9000
 */
#define _GNU_SOURCE
#include "proxy.h"

#include <errno.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct parser {
    struct config *config;
    const char *path;
    unsigned int line;
    char *why;
};

__attribute__((format(printf, 2, 3)))
static int refuse(const struct parser *parser, const char *format, ...)
{
    size_t used = 0;
    va_list args;

    if (parser->line > 0)
        used = snprintf(parser->why, WHY_SIZE, "%s:%u: ", parser->path, parser->line);
    if (used < WHY_SIZE) {
        va_start(args, format);
        vsnprintf(parser->why + used, WHY_SIZE - used, format, args);
        va_end(args);
    }
    return -1;
}

/* Splits "127.0.0.1:8000" or "[::1]:8000", cutting `text` up. */
static bool split_address(char *text, char **host, char **port)
{
    char *colon = strrchr(text, ':');

    if (colon == NULL)
        return false;
    *colon = '\0';
    *host = text;
    *port = colon + 1;
    if (text[0] == '[') {
        if (colon[-1] != ']')
            return false;
        colon[-1] = '\0';
        *host = text + 1;
        return true;
    }
    return strchr(text, ':') == NULL;
}

static bool valid_port(const char *port)
{
    char *end;
    unsigned long number;

    if (port[0] < '0' || port[0] > '9')
        return false;
    number = strtoul(port, &end, 10);
    return *end == '\0' && number >= 1 && number <= 65535;
}

static int parse_address(const struct parser *parser, const char *text, struct address *address)
{
    struct addrinfo hints = {
        .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
        .ai_socktype = SOCK_STREAM,
    };
    struct addrinfo *found;
    char copy[sizeof(address->name)], numeric[sizeof(address->name) - sizeof("[]:65535")];
    char *host, *port;
    bool v6;

    if (strlen(text) >= sizeof(copy))
        return refuse(parser, "'%s' is too long for an address", text);
    strcpy(copy, text);
    if (!split_address(copy, &host, &port))
        return refuse(parser, "'%s' is not ADDRESS:PORT or [ADDRESS]:PORT", text);
    if (!valid_port(port))
        return refuse(parser, "'%s' has no port from 1 to 65535", text);
    if (getaddrinfo(host, port, &hints, &found) != 0)
        return refuse(parser, "'%s' has no numeric IPv4 or IPv6 address", text);

    memcpy(&address->sockaddr, found->ai_addr, found->ai_addrlen);
    address->size = found->ai_addrlen;
    freeaddrinfo(found);

    /* The next worker asks for listening sockets by name, so "[0::1]" has to be "[::1]". */
    if (getnameinfo((struct sockaddr *)&address->sockaddr, address->size, numeric,
                    sizeof(numeric), NULL, 0, NI_NUMERICHOST) != 0)
        return refuse(parser, "'%s' cannot be printed", text);
    v6 = address->sockaddr.ss_family == AF_INET6;
    snprintf(address->name, sizeof(address->name), v6 ? "[%s]:%lu" : "%s:%lu", numeric,
             strtoul(port, NULL, 10));
    return 0;
}

static int add_rule(const struct parser *parser, const struct rule *rule)
{
    struct config *config = parser->config;
    struct rule *grown;
    size_t i;

    for (i = 0; i < config->count; i++)
        if (strcmp(config->rules[i].listen.name, rule->listen.name) == 0)
            return refuse(parser, "%s is listened on already, see line %u", rule->listen.name,
                          config->rules[i].line);

    grown = realloc(config->rules, (config->count + 1) * sizeof(*grown));
    if (grown == NULL)
        return refuse(parser, "out of memory");
    grown[config->count++] = *rule;
    config->rules = grown;
    return 0;
}

static int parse_line(const struct parser *parser, char *line)
{
    const char *const blanks = " \t\r\n";
    char *words[5] = { NULL };
    struct rule rule = { .line = parser->line };
    size_t count = 0;
    char *word, *rest;

    line[strcspn(line, "#")] = '\0';
    for (word = strtok_r(line, blanks, &rest); word != NULL;
         word = strtok_r(NULL, blanks, &rest)) {
        if (count == sizeof(words) / sizeof(words[0]))
            break;
        words[count++] = word;
    }

    if (count == 0)
        return 0;
    if (strcmp(words[0], "listen") != 0)
        return refuse(parser, "unknown word '%s', expected 'listen'", words[0]);
    if (count < 4 || strcmp(words[2], "backend") != 0)
        return refuse(parser, "expected 'listen ADDRESS:PORT backend ADDRESS:PORT'");
    if (count > 4)
        return refuse(parser, "unexpected '%s' after the backend", words[4]);
    if (parse_address(parser, words[1], &rule.listen) < 0 ||
        parse_address(parser, words[3], &rule.backend) < 0)
        return -1;
    return add_rule(parser, &rule);
}

int config_load(struct config *config, const char *path, char why[WHY_SIZE])
{
    struct parser parser = { .config = config, .path = path, .why = why };
    FILE *file = fopen(path, "re");
    char *line = NULL;
    size_t room = 0;
    int result = 0;

    config->rules = NULL;
    config->count = 0;
    if (file == NULL)
        return refuse(&parser, "cannot open %s: %s", path, strerror(errno));

    errno = 0;
    while (result == 0 && getline(&line, &room, file) >= 0) {
        parser.line++;
        result = parse_line(&parser, line);
        errno = 0;
    }
    if (result == 0) {
        parser.line = 0;
        if (ferror(file) || errno != 0)
            result = refuse(&parser, "cannot read %s: %s", path, strerror(errno));
        else if (config->count == 0)
            result = refuse(&parser, "%s: no 'listen' line", path);
    }
    free(line);
    fclose(file);
    return result;
}

void config_free(struct config *config)
{
    free(config->rules);
    config->rules = NULL;
    config->count = 0;
}
