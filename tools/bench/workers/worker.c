/* The cheapest worker that answers correctly: it costs next to nothing, so that the benchmark measures the bridge.
 *
 * Speaks goridge over the relay in RR_RELAY: pipes, tcp://host:port or unix://path. It handles all complete frames of a read, and writes
 * the replies at once: an answer together with the echo of its fence.
 *
 * An RPC is answered with the data of its request, and so is a connect, with the user "bench". The RPC "slow" takes 20 ms, and
 * for "die" the worker exits.
 * A subscription stream is accepted.
 *
 * With an argument it speaks protocol 2, with that many requests at a time: the second option of a frame is the number of its request. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { CONTROL = 0x01, PING = 0x04, PONG = 0x08, HEADER = 12 };

/* Requests at a time; none if this is a classic worker. */
static const char *concurrency;

typedef struct {
    uint8_t *bytes;
    size_t length, room;
} Buffer;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static uint8_t *extend(Buffer *buffer, size_t more) {
    if (buffer->length + more > buffer->room) {
        buffer->room = 2 * (buffer->length + more);
        buffer->bytes = realloc(buffer->bytes, buffer->room);
        if (!buffer->bytes) fail("realloc");
    }
    return buffer->bytes + buffer->length;
}

static void append(Buffer *buffer, const void *bytes, size_t length) {
    memcpy(extend(buffer, length), bytes, length);
    buffer->length += length;
}

static uint32_t table[256];

static void make_table(void) {
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >> 1 ^ 0xEDB88320 : crc >> 1;
        table[byte] = crc;
    }
}

static uint32_t read_u32(const uint8_t *at) {
    return at[0] | at[1] << 8 | at[2] << 16 | (uint32_t)at[3] << 24;
}

static void write_u32(uint8_t *at, uint32_t value) {
    for (int byte = 0; byte < 4; byte++) at[byte] = (uint8_t)(value >> 8 * byte);
}

/* A header with options. */
static void head(Buffer *out, uint8_t flags, uint8_t stream, size_t payload, size_t options, const uint8_t *values) {
    uint8_t bytes[HEADER] = {0};
    bytes[0] = (uint8_t)(0x10 | (3 + options));
    bytes[1] = flags;
    write_u32(bytes + 2, (uint32_t)payload);
    uint32_t crc = 0xFFFFFFFF;
    for (int at = 0; at < 6; at++) crc = crc >> 8 ^ table[(crc ^ bytes[at]) & 0xFF];
    write_u32(bytes + 6, ~crc);
    bytes[10] = stream;
    append(out, bytes, HEADER);
    if (options) append(out, values, 4 * options);
}

/* The header of an answer: it has an empty context, and the number of its request if that has one. */
static void answer_head(Buffer *out, const uint8_t *request, size_t payload) {
    uint8_t values[8] = {0};
    size_t options = request[0] & 0x0F;
    if (options > 4) memcpy(values + 4, request + HEADER + 4, 4);
    head(out, 0, 0, payload, options > 4 ? 2 : 1, values);
}

static uint64_t varint(const uint8_t **at, const uint8_t *end) {
    uint64_t value = 0;
    for (int shift = 0; *at < end && shift < 64; shift += 7) {
        uint8_t byte = *(*at)++;
        value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) break;
    }
    return value;
}

static size_t put_varint(uint8_t *to, uint64_t value) {
    size_t length = 0;
    for (; value > 0x7F; value >>= 7) to[length++] = (uint8_t)(value | 0x80);
    to[length++] = (uint8_t)value;
    return length;
}

/* The last bytes field with this number; its length is 0 if there is none. */
static const uint8_t *field(const uint8_t *at, const uint8_t *end, uint64_t number, size_t *length) {
    const uint8_t *found = at;
    *length = 0;
    while (at < end) {
        uint64_t key = varint(&at, end);
        uint64_t value = varint(&at, end);
        if ((key & 7) != 2) continue;
        if (value > (uint64_t)(end - at)) break;
        if (key >> 3 == number) found = at, *length = value;
        at += value;
    }
    return found;
}

/* Accepts a subscription; its data is the id of its stream. Field 1, `result`, whose field 4 is the data. */
static void accept_stream(Buffer *out, const uint8_t *request, const char *id, size_t length) {
    uint8_t bytes[6] = {0x0A, (uint8_t)(length + 4), 0x22, (uint8_t)(length + 2), '"'};
    if (length > 100) exit(3);
    answer_head(out, request, length + 6);
    append(out, bytes, 5);
    append(out, id, length);
    append(out, "\"", 1);
}

/* Field 1, `result`, whose field `number` is the data. */
static void answer(Buffer *out, const uint8_t *request, const uint8_t *context, size_t size, const uint8_t *end) {
    static const char STREAM[] = "\"stream\":[\"", END[] = "\"type\":[\"streamend\"]";
    const char *id = memmem(context, size, STREAM, sizeof STREAM - 1);
    if (id) {
        if (memmem(context, size, END, sizeof END - 1)) return answer_head(out, request, 0);
        id += sizeof STREAM - 1;
        const char *last = memchr(id, '"', (size_t)((const char *)context + size - id));
        return accept_stream(out, request, id, last ? (size_t)(last - id) : 0);
    }
    static const char CONNECT[] = "\"type\":[\"connect\"]", USER[] = "\x0a\x05" "bench";
    int connect = memmem(context, size, CONNECT, sizeof CONNECT - 1) != NULL;
    const uint8_t *body = context + size;
    size_t length, user = connect ? sizeof USER - 1 : 0;
    const uint8_t *method = field(body, end, 11, &length);
    if (!connect && length == 4 && !memcmp(method, "slow", 4)) usleep(20000);
    if (!connect && length == 3 && !memcmp(method, "die", 3)) exit(1);
    const uint8_t *data = field(body, end, connect ? 10 : 12, &length);
    uint8_t inner[12], outer[12];
    inner[0] = connect ? 0x2A : 0x0A;
    size_t inner_length = 1 + put_varint(inner + 1, length);
    outer[0] = 0x0A;
    size_t outer_length = 1 + put_varint(outer + 1, user + inner_length + length);
    answer_head(out, request, outer_length + user + inner_length + length);
    append(out, outer, outer_length);
    append(out, USER, user);
    append(out, inner, inner_length);
    append(out, data, length);
}

static void control(Buffer *out, const uint8_t *payload, size_t length) {
    if (memmem(payload, length, "\"stop\"", 6)) exit(0);
    if (!memmem(payload, length, "\"pid\"", 5)) return;
    char text[96];
    int size = concurrency ? snprintf(text, sizeof text, "{\"pid\":%d,\"protocol\":2,\"concurrency\":%d,\"name\":\"bench\"}",
                                      (int)getpid(), atoi(concurrency))
                           : snprintf(text, sizeof text, "{\"pid\":%d}", (int)getpid());
    head(out, CONTROL, 0, (size_t)size, 0, NULL);
    append(out, text, (size_t)size);
}

/* Handles the complete frames; returns the number of their bytes. */
static size_t handle(const Buffer *in, Buffer *out) {
    size_t done = 0;
    while (in->length - done >= HEADER) {
        const uint8_t *frame = in->bytes + done;
        size_t header = 4 * (frame[0] & 0x0F), payload = read_u32(frame + 2);
        if (in->length - done < header + payload) break;
        const uint8_t *start = frame + header;
        if (frame[1] & CONTROL) {
            control(out, start, payload);
        } else if (frame[10] & PING) {
            head(out, 0, PONG, 0, 0, NULL);
        } else {
            size_t context = header > HEADER ? read_u32(frame + HEADER) : 0;
            if (context > payload) exit(2);
            answer(out, frame, start, context, start + payload);
        }
        done += header + payload;
    }
    return done;
}

static int dial(const char *relay) {
    if (!strncmp(relay, "unix://", 7)) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        strncpy(address.sun_path, relay + 7, sizeof address.sun_path - 1);
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        if (connect(fd, (struct sockaddr *)&address, sizeof address)) fail(relay);
        return fd;
    }
    if (!strncmp(relay, "tcp://127.0.0.1:", 16)) {
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(relay + 16))};
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
        if (connect(fd, (struct sockaddr *)&address, sizeof address)) fail(relay);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        return fd;
    }
    return -1;
}

int main(int argc, char **argv) {
    concurrency = argc > 1 ? argv[1] : NULL;
    const char *offered = getenv("CAUSEWAY_PROTOCOLS");
    if (concurrency && !(offered && strchr(offered, '2'))) {
        fputs("the server does not offer protocol 2\n", stderr);
        return 1;
    }
    const char *relay = getenv("RR_RELAY");
    int fd = dial(relay ? relay : "pipes"), from = fd < 0 ? 0 : fd, to = fd < 0 ? 1 : fd;
    Buffer in = {0}, out = {0};
    make_table();
    for (;;) {
        ssize_t got = read(from, extend(&in, 65536), 65536);
        if (got <= 0) return 0;
        in.length += (size_t)got;
        size_t done = handle(&in, &out);
        memmove(in.bytes, in.bytes + done, in.length - done);
        in.length -= done;
        for (size_t sent = 0; sent < out.length;) {
            ssize_t written = write(to, out.bytes + sent, out.length - sent);
            if (written <= 0) return 0;
            sent += (size_t)written;
        }
        out.length = 0;
    }
}
