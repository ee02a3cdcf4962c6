/* One pass over JSON text (RFC 8259): is it valid, can every reader read its values, and where are
 * the members that framing needs? No value is built, nothing is copied, nothing is allocated.
 *
 * The text must be followed by a NUL byte (as the text of a bytes object is) and be UTF-8, which
 * the caller has checked. */

#ifndef GW_JSONSCAN_H
#define GW_JSONSCAN_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

enum { JSONSCAN_MAX_DEPTH = 512, JSONSCAN_MAX_MEMBERS = 24 };

/* Members of a message (JSON-RPC 2.0, section 4 and 5; southbound.md 1.4). */
enum {
    JSONSCAN_JSONRPC, JSONSCAN_METHOD, JSONSCAN_PARAMS, JSONSCAN_ID,
    JSONSCAN_RESULT, JSONSCAN_ERROR, JSONSCAN_RADIUS, JSONSCAN_NAMES
};

enum { JSONSCAN_OK, JSONSCAN_SYNTAX, JSONSCAN_DEPTH };

typedef struct {
    size_t key;      /* first byte of the name, behind the quote */
    size_t key_size;
    size_t start;    /* of the value */
    size_t stop;
} JsonMember;

typedef struct {
    const char *fault;       /* what is wrong with the syntax */
    size_t fault_at;
    const char *unreadable;  /* valid, and yet many readers stop at it; NULL: nothing */
    size_t unreadable_at;
    JsonMember names[JSONSCAN_NAMES];   /* stop 0: not there; of several the last */
    JsonMember members[JSONSCAN_MAX_MEMBERS];
    int member_count;
    int plain;               /* `members` has all of them, and no name has an escape */
} JsonScan;

static inline int jsonscan_digit(uint8_t c) { return c >= '0' && c <= '9'; }

static inline const uint8_t *jsonscan_space(const uint8_t *p) {
    /* Agents write compact text: the first test decides nearly always. */
    while (*p <= 0x20 && (*p == 0x20 || *p == 0x0A || *p == 0x0D || *p == 0x09)) p++;
    return p;
}

static int jsonscan_hex4(const uint8_t *p, const uint8_t *end, uint32_t *out) {
    uint32_t value = 0;
    if (end - p < 4) return 0;
    for (int i = 0; i < 4; i++) {
        uint8_t c = p[i];
        uint32_t digit;
        if (jsonscan_digit(c)) digit = c - '0';
        else if (c >= 'a' && c <= 'f') digit = c - 'a' + 10u;
        else if (c >= 'A' && c <= 'F') digit = c - 'A' + 10u;
        else return 0;
        value = value << 4 | digit;
    }
    *out = value;
    return 1;
}

static inline void jsonscan_unreadable(JsonScan *s, const char *what, size_t at) {
    if (s->unreadable == NULL) {
        s->unreadable = what;
        s->unreadable_at = at;
    }
}

/* Behind the opening quote; returns the closing quote, or NULL. */
static inline const uint8_t *jsonscan_string(
    JsonScan *s, const uint8_t *text, const uint8_t *p, const uint8_t *end, int *escaped) {
    for (;;) {
#if defined(__SSE2__)
        const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\');
        const __m128i control = _mm_set1_epi8(0x1F);
        while (end - p >= 16) {
            __m128i x = _mm_loadu_si128((const __m128i *)p);
            __m128i stop = _mm_or_si128(
                _mm_or_si128(_mm_cmpeq_epi8(x, quote), _mm_cmpeq_epi8(x, slash)),
                _mm_cmpeq_epi8(_mm_min_epu8(x, control), x));
            unsigned mask = (unsigned)_mm_movemask_epi8(stop);
            if (mask) {
                p += __builtin_ctz(mask);
                break;
            }
            p += 16;
        }
#endif
        while (p < end && *p >= 0x20 && *p != '"' && *p != '\\') p++;
        if (p < end && *p == '"') return p;
        if (p >= end || *p != '\\') {
            s->fault = p >= end ? "a string does not end" : "a control character in a string";
            s->fault_at = (size_t)(p - text);
            return NULL;
        }
        *escaped = 1;
        const uint8_t *escape = p++;
        uint32_t unit, low;
        switch (p < end ? *p : 0) {
        case '"': case '\\': case '/': case 'b': case 'f': case 'n': case 'r': case 't':
            p++;
            break;
        case 'u':
            if (jsonscan_hex4(p + 1, end, &unit)) {
                p += 5;
                if (unit < 0xD800 || unit > 0xDFFF) break;
                if (unit < 0xDC00 && end - p >= 6 && p[0] == '\\' && p[1] == 'u'
                    && jsonscan_hex4(p + 2, end, &low) && low >= 0xDC00 && low <= 0xDFFF) {
                    p += 6;
                } else {
                    jsonscan_unreadable(s, "half of a surrogate pair", (size_t)(escape - text));
                }
                break;
            }
            /* fall through */
        default:
            s->fault = "an unknown escape";
            s->fault_at = (size_t)(escape - text);
            return NULL;
        }
    }
}

/* Tell whether a number (valid, from `p` up to `stop`) is beyond a double. */
static int jsonscan_beyond(const uint8_t *p, const uint8_t *stop) {
    char digits[832];
    size_t kept = 0;
    long long point = 0;  /* value = 0.DIGITS * 10^point */
    int begun = 0, fraction = 0;
    for (; p < stop && *p != 'e' && *p != 'E'; p++) {
        if (*p == '-') continue;
        if (*p == '.') {
            fraction = 1;
            continue;
        }
        if (*p != '0') begun = 1;
        if (begun) {
            /* Digits beyond 800 decide nothing but a tie that ends in zeros up to there. */
            if (kept < 800) digits[kept++] = (char)*p;
            else if (kept == 800 && *p != '0') digits[kept++] = '1';
            if (!fraction) point++;
        } else if (fraction) {
            point--;
        }
    }
    if (!begun) return 0;
    if (p < stop) {
        int negative = 0;
        long long exponent = 0;
        p++;
        if (*p == '+' || *p == '-') negative = *p++ == '-';
        for (; p < stop; p++)
            if (exponent < 1000000000000000LL) exponent = exponent * 10 + (*p - '0');
        point += negative ? -exponent : exponent;
    }
    if (point < 309) return 0;
    if (point > 309) return 1;
    digits[kept] = 0;
    /* Half a unit above the largest double, from where on numbers round to infinity. */
    static const char limit[] =
        "1797693134862315807937289714053034150799341327100378269361737789804449682927647509466490179"
        "7758720709633028641669288791094655554785194040263065748867150582068190890200070838367627385"
        "4845817711531764475730270069855571366959622842914819860834936475292719074168444365510704342"
        "711559699508093042880177904174497792";
    size_t size = sizeof limit - 1;
    int order = memcmp(digits, limit, kept < size ? kept : size);
    if (order != 0) return order > 0;
    return kept >= size;
}

/* Returns behind the number, or NULL. */
static inline const uint8_t *jsonscan_number(JsonScan *s, const uint8_t *text, const uint8_t *p) {
    const uint8_t *start = p;
    int exponent = 0;
    if (*p == '-') p++;
    if (*p == '0') p++;
    else if (jsonscan_digit(*p)) do p++; while (jsonscan_digit(*p));
    else goto fault;
    if (*p == '.') {
        p++;
        if (!jsonscan_digit(*p)) goto fault;
        do p++; while (jsonscan_digit(*p));
    }
    if ((*p | 0x20) == 'e') {
        exponent = 1;
        p++;
        if (*p == '+' || *p == '-') p++;
        if (!jsonscan_digit(*p)) goto fault;
        do p++; while (jsonscan_digit(*p));
    }
    if ((exponent || p - start > 300) && jsonscan_beyond(start, p))
        jsonscan_unreadable(s, "a number beyond the range of a double", (size_t)(start - text));
    return p;
fault:
    s->fault = "an invalid number";
    s->fault_at = (size_t)(p - text);
    return NULL;
}

static int jsonscan_name(const uint8_t *key, size_t size) {
    static const char *const names[JSONSCAN_NAMES] = {
        "jsonrpc", "method", "params", "id", "result", "error", "radius"};
    for (int i = 0; i < JSONSCAN_NAMES; i++)
        if (strlen(names[i]) == size && memcmp(names[i], key, size) == 0) return i;
    return -1;
}

/* Scan an object. `message`: note members of the root by name, and those of `params`; otherwise
 * those of the root as if it were `params`. */
static int jsonscan(JsonScan *s, const uint8_t *text, size_t size, int message) {
    const uint8_t *p = text, *const end = text + size;
    uint64_t kinds[JSONSCAN_MAX_DEPTH / 64];  /* a bit per level: 1 is an object */
    unsigned depth = 0;
    const unsigned inner_depth = message ? 2 : 1;
    int name = -1, in_params = !message, object = 0;
    JsonMember root = {0, 0, 0, 0}, inner = {0, 0, 0, 0};

    s->fault = s->unreadable = NULL;
    s->fault_at = s->unreadable_at = 0;
    s->member_count = 0;
    s->plain = 1;
    memset(s->names, 0, sizeof s->names);

    p = jsonscan_space(p);
    if (*p != '{' || p >= end) {
        s->fault = "it is no object";
        s->fault_at = (size_t)(p - text);
        return JSONSCAN_SYNTAX;
    }

value:
    switch (*p) {
    case '{':
    case '[':
        if (depth == JSONSCAN_MAX_DEPTH) {
            s->fault = "nested too deeply";
            s->fault_at = (size_t)(p - text);
            return JSONSCAN_DEPTH;
        }
        object = *p == '{';
        if (object) kinds[depth / 64] |= (uint64_t)1 << depth % 64;
        else kinds[depth / 64] &= ~((uint64_t)1 << depth % 64);
        depth++;
        p = jsonscan_space(p + 1);
        if (object) {
            if (*p != '}') goto key;
            goto close;
        }
        if (*p != ']') goto value;
        goto close;
    case '"': {
        int escaped = 0;
        p = jsonscan_string(s, text, p + 1, end, &escaped);
        if (p == NULL) return JSONSCAN_SYNTAX;
        p++;
        goto after;
    }
    case '-': case '0': case '1': case '2': case '3': case '4':
    case '5': case '6': case '7': case '8': case '9':
        p = jsonscan_number(s, text, p);
        if (p == NULL) return JSONSCAN_SYNTAX;
        goto after;
    case 't':
        if (end - p < 4 || memcmp(p, "true", 4) != 0) goto unexpected;
        p += 4;
        goto after;
    case 'f':
        if (end - p < 5 || memcmp(p, "false", 5) != 0) goto unexpected;
        p += 5;
        goto after;
    case 'n':
        if (end - p < 4 || memcmp(p, "null", 4) != 0) goto unexpected;
        p += 4;
        goto after;
    default:
        goto unexpected;
    }

key: {
    if (*p != '"') goto unexpected;
    int escaped = 0;
    const uint8_t *key = p + 1;
    p = jsonscan_string(s, text, key, end, &escaped);
    if (p == NULL) return JSONSCAN_SYNTAX;
    size_t key_size = (size_t)(p - key);
    p = jsonscan_space(p + 1);
    if (*p != ':') goto unexpected;
    p = jsonscan_space(p + 1);
    if (depth <= inner_depth) {
        if (message && depth == 1) {
            name = jsonscan_name(key, key_size);
            in_params = name == JSONSCAN_PARAMS;
            if (in_params) {  /* of two the last counts */
                s->member_count = 0;
                s->plain = 1;
            }
            root.key = (size_t)(key - text);
            root.key_size = key_size;
            root.start = (size_t)(p - text);
        } else if (depth == inner_depth && in_params) {
            inner.key = (size_t)(key - text);
            inner.key_size = key_size;
            inner.start = (size_t)(p - text);
            if (escaped) s->plain = 0;
        }
    }
    goto value;
}

close:
    p++;
    depth--;
    if (depth == 0) {
        p = jsonscan_space(p);
        if (p == end) return JSONSCAN_OK;
        s->fault = "something follows the object";
        s->fault_at = (size_t)(p - text);
        return JSONSCAN_SYNTAX;
    }
    object = (int)(kinds[(depth - 1) / 64] >> (depth - 1) % 64 & 1);

after:
    if (depth <= inner_depth && object) {
        if (message && depth == 1) {
            root.stop = (size_t)(p - text);
            if (name >= 0) s->names[name] = root;
        } else if (depth == inner_depth && in_params) {
            inner.stop = (size_t)(p - text);
            if (s->member_count < JSONSCAN_MAX_MEMBERS) s->members[s->member_count++] = inner;
            else s->plain = 0;
        }
    }
    p = jsonscan_space(p);
    if (object) {
        if (*p == ',') {
            p = jsonscan_space(p + 1);
            goto key;
        }
        if (*p == '}') goto close;
    } else {
        if (*p == ',') {
            p = jsonscan_space(p + 1);
            goto value;
        }
        if (*p == ']') goto close;
    }

unexpected:
    s->fault = p >= end ? "it ends too early" : "an unexpected character";
    s->fault_at = (size_t)(p - text);
    return JSONSCAN_SYNTAX;
}

#endif
