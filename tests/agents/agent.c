/* A device agent on libwebsockets, with the habits of the two agents in the field (agents.md).
 *
 *   agent switch|ap SERIAL PORT CERT KEY CA [NAME=VALUE ...]
 *
 * What happens is told on stdout, one line each; a line on stdin makes it do something. What is
 * tested with it is the wire: libwebsockets' handshake, TLS, frames, buffers and time-outs. As the
 * agents do, it takes every buffer that libwebsockets hands it for a whole message.
 *
 * Options:  path=/  ping=300 hangup=310 (seconds)  apply=0 (ms that applying takes)
 *           retry=5000 (ms; an access point waits once, twice, ... as long)  tls12=0  uuid=1
 *           slow=0 (ms of rest after each read of 4 KB)
 * stdin:    state | log TEXT | text JSON | fragments JSON | close | quit
 * stdout:   established VERSION | received METHOD ID BYTES BUFFERS | unparsable BYTES |
 *           applied UUID | refused UUID | pong | closed | error TEXT
 *
 * A configuration that holds the text "refuse-parse", "refuse-platform" or "refuse-part" is
 * refused that way.
 */

#define _GNU_SOURCE
#include <libwebsockets.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#define SWITCH_BUFFER (4096 * 1024)
#define AP_BUFFER (32 * 1024)
#define COMPRESS_FROM 2048 /* bytes of a state */
#define ACTION_US (50 * LWS_US_PER_MS) /* stands for the 10 s of an access point */

struct message {
	struct message *next;
	size_t size;
	int flags;
	unsigned char data[]; /* LWS_PRE bytes, then the text */
};

static struct lws_context *context;
static struct lws *websocket;
static struct message *head, *tail;
static int is_switch, tls12, apply_ms, retry_ms = 5000, slow_ms, losses, finished;
static const char *serial, *path = "/";
static int port;
static char reason[32] = "boot"; /* of the next connect */
static double active = 1, latest; /* a switch computes in double */
static char *inbox;
static lws_retry_bo_t keepalive = {.secs_since_valid_ping = 300, .secs_since_valid_hangup = 310};
static lws_sorted_usec_list_t connecting, acting, applying;
static struct { double id, uuid; char text[64]; int error; } pending; /* what is being applied */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char orders[16][8192];
static unsigned ordered, obeyed;

static void tell(const char *format, ...)
{
	va_list rest;

	va_start(rest, format);
	vprintf(format, rest);
	va_end(rest);
	putchar('\n');
	fflush(stdout);
}

/* ---- JSON, as spans of its text ---- */

static const char *blank(const char *p)
{
	return p + strspn(p, " \t\r\n");
}

/* Return the end of the value at p, NULL if there is none. */
static const char *end_of(const char *p, int depth)
{
	p = blank(p);
	if (*p == '"') {
		for (p++; *p && *p != '"'; p++)
			if (*p == '\\' && p[1])
				p++;
		return *p ? p + 1 : NULL;
	}
	if (*p == '{' || *p == '[') {
		char close = *p == '{' ? '}' : ']';

		if (depth > 100)
			return NULL;
		p = blank(p + 1);
		if (*p == close)
			return p + 1;
		for (;;) {
			if (close == '}') {
				p = *blank(p) == '"' ? end_of(p, depth + 1) : NULL;
				if (!p || *(p = blank(p)) != ':')
					return NULL;
				p++;
			}
			p = end_of(p, depth + 1);
			if (!p)
				return NULL;
			p = blank(p);
			if (*p == close)
				return p + 1;
			if (*p++ != ',')
				return NULL;
		}
	}
	size_t size = strcspn(p, " \t\r\n,]}");

	return size ? p + size : NULL;
}

/* Return the value of a member of the object at p, NULL if there is none. */
static const char *member(const char *p, const char *name)
{
	size_t size = strlen(name);

	if (!p || *(p = blank(p)) != '{')
		return NULL;
	for (p = blank(p + 1); *p == '"'; p = blank(p + 1)) {
		const char *key = p + 1;

		p = blank(end_of(p, 0)) + 1;
		if (!strncmp(key, name, size) && key[size] == '"')
			return blank(p);
		p = blank(end_of(p, 0));
		if (*p != ',')
			break;
	}
	return NULL;
}

/* Copy the text at p, without escapes in it. Return whether it is a text that fits. */
static int text_of(const char *p, char *to, size_t size)
{
	const char *end = p && *p == '"' ? end_of(p, 0) : NULL;

	if (!end || (size_t)(end - p - 1) > size)
		return 0;
	memcpy(to, p + 1, end - p - 2);
	to[end - p - 2] = 0;
	return 1;
}

/* ---- sending ---- */

static void enqueue(const char *text, size_t size, int flags)
{
	struct message *one = calloc(1, sizeof *one + LWS_PRE + size);

	one->size = size;
	one->flags = flags;
	memcpy(one->data + LWS_PRE, text, size);
	if (tail)
		tail->next = one;
	else
		head = one;
	tail = one;
	if (websocket)
		lws_callback_on_writable(websocket);
}

static void send_text(const char *format, ...)
{
	va_list rest;
	char *text;
	int size;

	va_start(rest, format);
	size = vasprintf(&text, format, rest);
	va_end(rest);
	enqueue(text, size, LWS_WRITE_TEXT);
	free(text);
}

static void send_log(const char *text, int severity)
{
	send_text("{\"jsonrpc\":\"2.0\",\"method\":\"log\",\"params\":{\"serial\":\"%s\","
		  "\"log\":\"%s\",\"severity\":%d}}", serial, text, severity);
}

static void send_event(const char *type)
{
	send_text("{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{\"serial\":\"%s\",\"data\":{"
		  "\"event\":[%ld,{\"type\":\"%s\",\"payload\":{\"description\":\"\"}}]}}}",
		  serial, (long)time(NULL), type);
}

/* The members of `status` are given, for their order is not the same in all answers. */
static void answer(double id, double uuid, const char *status)
{
	send_text("{\"jsonrpc\":\"2.0\",\"id\":%.17g,\"result\":{\"serial\":\"%s\",\"uuid\":%.17g,"
		  "\"status\":{%s}}}", id, serial, uuid, status);
}

static void send_connect(void)
{
	if (is_switch) {
		send_text("{\"jsonrpc\":\"2.0\",\"method\":\"connect\",\"params\":{\"serial\":\"%s\","
			  "\"firmware\":\"lws-switch-1\",\"uuid\":%.17g,\"capabilities\":{\"version\":{"
			  "\"switch\":{\"major\":4,\"minor\":2,\"patch\":0},\"schema\":{\"major\":4,"
			  "\"minor\":2,\"patch\":0}},\"serial\":\"%s\",\"firmware\":\"lws-switch-1\","
			  "\"compatible\":\"lws\",\"model\":\"lws\",\"platform\":\"switch\","
			  "\"label_macaddr\":\"02:00:00:00:00:01\"}}}", serial, active, serial);
		if (!strcmp(reason, "reboot"))
			send_event("device.reboot");
	} else {
		send_text("{\"jsonrpc\":\"2.0\",\"method\":\"connect\",\"params\":{\"serial\":\"%s\","
			  "\"firmware\":\"lws-ap-1\",\"uuid\":%.0f,\"reason\":\"%s\",\"capabilities\":{"
			  "\"secure-rtty\":true,\"compress_cmd\":true,\"compatible\":\"lws\","
			  "\"model\":\"lws\",\"platform\":\"ap\",\"version\":{\"ap\":{\"major\":4,"
			  "\"minor\":2,\"patch\":0}}},\"udhcpc-vsi\":{}}}", serial, active, reason);
	}
	strcpy(reason, "socket");
}

static void send_state(const char *request)
{
	char *params, *at;
	size_t size;

	at = params = malloc(16384);
	at += sprintf(at, "{\"serial\":\"%s\",\"uuid\":%.17g,", serial, is_switch ? latest : active);
	if (request)
		at += sprintf(at, "\"request_uuid\":\"%s\",", request);
	at += sprintf(at, "\"state\":{\"unit\":{\"uptime\":60,\"load\":[0.1,0.1,0.1]},\"link-state\":{"
		      "\"upstream\":{");
	for (int n = 0; n < 24; n++)
		at += sprintf(at, "%s\"Ethernet%d\":{\"carrier\":1,\"speed\":1000,\"duplex\":\"full\","
			      "\"counters\":{\"rx_bytes\":%d,\"tx_bytes\":%d}}", n ? "," : "", n,
			      n * 1000003, n * 7000001);
	at += sprintf(at, "}}}}");
	size = at - params;
	if (is_switch || size < COMPRESS_FROM) {
		send_text("{\"jsonrpc\":\"2.0\",\"method\":\"state\",\"params\":%s}", params);
	} else {
		unsigned char packed[16384];
		char text[24576];
		uLongf packed_size = sizeof packed;

		compress(packed, &packed_size, (unsigned char *)params, size);
		lws_b64_encode_string((char *)packed, packed_size, text, sizeof text);
		send_text("{\"jsonrpc\":\"2.0\",\"method\":\"state\",\"params\":{\"compress_64\":\"%s\","
			  "\"compress_sz\":%zu}}", text, size);
	}
	free(params);
}

/* ---- configure ---- */

static void switch_configure(double id, const char *params)
{
	const char *uuid = member(params, "uuid"), *config = member(params, "config");

	if (!member(params, "serial") || !uuid || !config) {
		answer(id, 0, "\"text\":\"invalid parameters\",\"error\":2");
		return;
	}
	if (*config != '{' || strstr(config, "refuse-parse")) {
		send_log("uc-proto: Config parse failed\\n", 3);
		answer(id, 0, "\"text\":\"Configure parse failed\",\"error\":2");
		tell("refused 0");
		return;
	}
	latest = atof(uuid);
	usleep(apply_ms * 1000); /* single-threaded: nothing is read or answered meanwhile */
	if (strstr(config, "refuse-platform")) {
		send_log("uc-plat: port Ethernet99 is unknown\\n", 3);
		send_log("uc-proto: Failed to apply cfg\\n", 3);
		answer(id, latest, "\"text\":\"port Ethernet99 is unknown\",\"error\":2");
		tell("refused %.0f", latest);
		return;
	}
	active = latest;
	answer(id, active, "\"text\":\"\",\"error\":0");
	tell("applied %.0f", active);
}

static void ap_applied(lws_sorted_usec_list_t *timer)
{
	(void)timer;
	if (pending.error != 2)
		active = pending.uuid;
	answer(pending.id, pending.uuid, pending.text);
	tell(pending.error == 2 ? "refused %.0f" : "applied %.0f", pending.uuid);
}

/* The stream must fit in as many bytes as it expands to, for the agent has no more room. */
static char *inflated(const char *params)
{
	const char *size = member(params, "compress_sz"), *text = member(params, "compress_64");
	long plain = size ? atol(size) : 0;
	char *encoded, *packed, *found = NULL;
	const char *end = text ? end_of(text, 0) : NULL;
	uLongf room = plain;
	int length;

	if (!end || plain <= 0)
		return NULL;
	encoded = strndup(text + 1, end - text - 2);
	packed = malloc(plain + 1);
	length = lws_b64_decode_string(encoded, packed, plain + 1);
	if (length > 0 && length <= plain) {
		found = calloc(1, plain + 1);
		if (uncompress((Bytef *)found, &room, (Bytef *)packed, length) != Z_OK || !end_of(found, 0)) {
			free(found);
			found = NULL;
		}
	}
	free(packed);
	free(encoded);
	return found;
}

static void ap_configure(double id, const char *params)
{
	char *plain = NULL;
	const char *config, *inner;
	double uuid;

	if (member(params, "compress_64")) {
		params = plain = inflated(params);
		if (!plain) {
			answer(id, 0, "\"text\":\"after decode and uncompress, configure message is missing "
			       "parameters\",\"error\":1");
			tell("refused 0");
			return;
		}
	}
	config = member(params, "config");
	inner = member(config, "uuid");
	uuid = inner ? atof(inner) : 0;
	if (!member(params, "serial") || !member(params, "uuid") || !config || *config != '{') {
		answer(id, 0, "\"error\":1,\"text\":\"invalid parameters\"");
	} else if (uuid <= active) {
		answer(id, active, "\"text\":\"Already applied.\",\"error\":0");
	} else {
		pending.id = id;
		pending.uuid = uuid;
		if (strstr(config, "refuse-platform")) {
			pending.error = 2;
			strcpy(pending.text, "\"text\":\"Failed\",\"rejected\":[\"[E] no such port\"],\"error\":2");
		} else if (strstr(config, "refuse-part")) {
			pending.error = 1;
			strcpy(pending.text, "\"text\":\"Rejects\",\"rejected\":[\"[W] no DFS\"],\"error\":1");
		} else {
			pending.error = 0;
			strcpy(pending.text, "\"text\":\"Success\",\"error\":0");
		}
		/* A child process applies: frames are read and answered meanwhile. */
		lws_sul_schedule(context, 0, &applying, ap_applied, apply_ms * LWS_US_PER_MS + 1);
	}
	free(plain);
}

/* ---- the other methods ---- */

static void restart(lws_sorted_usec_list_t *timer)
{
	(void)timer;
	strcpy(reason, "reboot");
	latest = 0;
	if (websocket) /* cut, as a device that goes down does */
		lws_set_timeout(websocket, PENDING_TIMEOUT_CLOSE_SEND, LWS_TO_KILL_ASYNC);
}

static void handle(const char *text, int size, int buffers)
{
	const char *params = member(text, "params"), *number = member(text, "id");
	double id = number ? atof(number) : 0;
	char method[64], wanted[64], request[64];

	if (!end_of(text, 0)) {
		tell("unparsable %d", size);
		send_log(is_switch ? "uc-proto: Failed to parse cmd\\n" : "failed to parse command", 2);
		return;
	}
	if (!text_of(member(text, "method"), method, sizeof method) || !params) {
		tell("received - %.0f %d %d", id, size, buffers);
		send_log("received invalid jsonrpc call", 3);
		return;
	}
	tell("received %s %.0f %d %d", method, id, size, buffers);
	if (!strcmp(method, "configure")) {
		if (is_switch)
			switch_configure(id, params);
		else
			ap_configure(id, params);
	} else if (!strcmp(method, "ping")) {
		answer(id, active, is_switch ? "\"text\":\"Success\",\"error\":0"
					     : "\"error\":0,\"text\":\"Success\"");
	} else if (!strcmp(method, "reboot")) {
		answer(id, active, is_switch
		       ? "\"error\":0,\"text\":\"Reboot requested successfully\",\"resultCode\":0"
		       : "\"error\":0,\"text\":\"triggered command action\",\"resultCode\":0");
		lws_sul_schedule(context, 0, &acting, restart, ACTION_US);
	} else if (is_switch) {
		answer(id, active, "\"text\":\"Success\",\"error\":0"); /* whatever it was */
	} else if (!strcmp(method, "request") && text_of(member(params, "message"), wanted, 64) &&
		   text_of(member(params, "request_uuid"), request, 64)) {
		answer(id, active, "\"error\":0,\"text\":\"success\",\"resultCode\":0");
		send_state(request);
	} else if (!strcmp(method, "leds")) {
		answer(id, active, "\"error\":0,\"text\":\"success\",\"resultCode\":0");
	} else if (!strcmp(method, "package")) {
		/* [{"name":"nano","version":"7.2-1"}] as it is sent: a stream, and no `error` */
		answer(id, active, "\"compress_64\":\"eJyLrlbKS8xNVbICUnn5SjpKZalFxZn5eUABcz0jXUOl"
		       "2lgAyikKqQ==\",\"compress_sz\":35,\"text\":\"Success\"");
	}
}

/* ---- libwebsockets ---- */

static void connect_now(lws_sorted_usec_list_t *timer);

static void connect_later(void)
{
	lws_sul_schedule(context, 0, &connecting, connect_now,
			 (lws_usec_t)retry_ms * LWS_US_PER_MS * (is_switch ? 1 : losses));
}

static void obey(char *order)
{
	char *rest = strchr(order, ' ');

	if (rest)
		*rest++ = 0;
	if (!strcmp(order, "quit")) {
		finished = 1;
	} else if (!strcmp(order, "state")) {
		send_state(NULL);
	} else if (!strcmp(order, "log")) {
		send_log(rest, 6);
	} else if (!strcmp(order, "text")) {
		enqueue(rest, strlen(rest), LWS_WRITE_TEXT);
	} else if (!strcmp(order, "fragments")) {
		size_t half = strlen(rest) / 2;

		enqueue(rest, half, LWS_WRITE_TEXT | LWS_WRITE_NO_FIN);
		enqueue(rest + half, strlen(rest) - half, LWS_WRITE_CONTINUATION);
	} else if (!strcmp(order, "close") && websocket) {
		lws_close_reason(websocket, LWS_CLOSE_STATUS_NORMAL, NULL, 0);
		lws_set_timeout(websocket, PENDING_TIMEOUT_CLOSE_SEND, LWS_TO_KILL_ASYNC);
	}
}

static int broker(struct lws *wsi, enum lws_callback_reasons why, void *user, void *in, size_t size)
{
	static int buffers;

	switch (why) {
	case LWS_CALLBACK_CLIENT_ESTABLISHED:
		websocket = wsi;
		losses = 0;
		tell("established %s", SSL_get_version(lws_get_ssl(wsi)));
		send_connect();
		break;
	case LWS_CALLBACK_CLIENT_RECEIVE:
		/* Each buffer counts as a message, be it the last of one or not. */
		buffers = lws_is_first_fragment(wsi) ? 1 : buffers + 1;
		memcpy(inbox, in, size);
		inbox[size] = 0;
		handle(inbox, (int)size, buffers);
		break;
	case LWS_CALLBACK_CLIENT_RECEIVE_PONG:
		tell("pong");
		break;
	case LWS_CALLBACK_CLIENT_WRITEABLE:
		if (head) {
			struct message *one = head;

			lws_write(wsi, one->data + LWS_PRE, one->size, one->flags);
			head = one->next;
			tail = head ? tail : NULL;
			free(one);
			if (head)
				lws_callback_on_writable(wsi);
		}
		break;
	case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
		tell("error %s", in ? (char *)in : "");
		losses++;
		connect_later();
		break;
	case LWS_CALLBACK_CLIENT_CLOSED:
		tell("closed");
		websocket = NULL;
		losses++;
		connect_later();
		break;
	case LWS_CALLBACK_EVENT_WAIT_CANCELLED:
		pthread_mutex_lock(&lock);
		while (obeyed != ordered)
			obey(orders[obeyed++ % 16]);
		pthread_mutex_unlock(&lock);
		break;
	default:
		break;
	}
	return lws_callback_http_dummy(wsi, why, user, in, size);
}

static struct lws_protocols protocols[] = {
	{"ucentral-broker", broker, 0, SWITCH_BUFFER, 0, NULL, 0},
	{NULL, NULL, 0, 0, 0, NULL, 0},
};

static void connect_now(lws_sorted_usec_list_t *timer)
{
	struct lws_client_connect_info info = {0};

	(void)timer;
	info.context = context;
	info.address = info.host = info.origin = "127.0.0.1"; /* also the SNI, though it is no name */
	info.port = port;
	info.path = path;
	info.protocol = "ucentral-broker";
	info.ssl_connection = LCCSCF_USE_SSL | LCCSCF_SKIP_SERVER_CERT_HOSTNAME_CHECK;
	info.retry_and_idle_policy = &keepalive;
	if (!lws_client_connect_via_info(&info)) {
		losses++;
		connect_later();
	}
}

static void *read_orders(void *unused)
{
	char line[8192];

	(void)unused;
	while (fgets(line, sizeof line, stdin)) {
		line[strcspn(line, "\n")] = 0;
		pthread_mutex_lock(&lock);
		if (ordered - obeyed < 16)
			strcpy(orders[ordered++ % 16], line);
		pthread_mutex_unlock(&lock);
		lws_cancel_service(context);
	}
	finished = 1; /* whoever started this is gone */
	lws_cancel_service(context);
	return NULL;
}

int main(int count, char **words)
{
	struct lws_context_creation_info info = {0};
	pthread_t reader;

	if (count < 7)
		return 2;
	is_switch = !strcmp(words[1], "switch");
	serial = words[2];
	port = atoi(words[3]);
	for (int n = 7; n < count; n++) {
		char *value = strchr(words[n], '=');

		if (!value)
			return 2;
		*value++ = 0;
		if (!strcmp(words[n], "path"))
			path = value;
		else if (!strcmp(words[n], "ping"))
			keepalive.secs_since_valid_ping = atoi(value);
		else if (!strcmp(words[n], "hangup"))
			keepalive.secs_since_valid_hangup = atoi(value);
		else if (!strcmp(words[n], "apply"))
			apply_ms = atoi(value);
		else if (!strcmp(words[n], "retry"))
			retry_ms = atoi(value);
		else if (!strcmp(words[n], "slow"))
			slow_ms = atoi(value);
		else if (!strcmp(words[n], "tls12"))
			tls12 = atoi(value);
		else if (!strcmp(words[n], "uuid"))
			active = atof(value);
		else
			return 2;
	}
	protocols[0].rx_buffer_size = is_switch ? SWITCH_BUFFER : AP_BUFFER;
	inbox = malloc(SWITCH_BUFFER + 1);
	lws_set_log_level(LLL_ERR, NULL);
	info.port = CONTEXT_PORT_NO_LISTEN;
	info.options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
	info.protocols = protocols;
	info.client_ssl_cert_filepath = words[4];
	info.client_ssl_private_key_filepath = words[5];
	info.ssl_ca_filepath = words[6];
	info.ssl_client_options_set = tls12 ? SSL_OP_NO_TLSv1_3 : 0;
	info.fd_limit_per_thread = 1 + 1 + 1;
	info.connect_timeout_secs = 30;
	info.retry_and_idle_policy = &keepalive;
	context = lws_create_context(&info);
	if (!context)
		return 1;
	pthread_create(&reader, NULL, read_orders, NULL);
	pthread_detach(reader);
	connect_now(NULL);
	while (!finished && lws_service(context, 0) >= 0)
		usleep(slow_ms * 1000);
	return 0;
}
