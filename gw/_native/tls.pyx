"""TLS of the device listener, on the socket itself: OpenSSL reads into the protocol's own buffer.

Long, because the declarations of OpenSSL are a third of it, and a connection's states are one.

A connection is an asyncio transport. There is no memory BIO and no buffer of its own: OpenSSL
lets go of its record buffers while they are empty (SSL_MODE_RELEASE_BUFFERS), so that a device
that is silent costs little more than its SSL object. Linked to the system's OpenSSL, with
contexts of its own; `gw.worker.tls` chooses.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize

import asyncio
import socket
import ssl as _ssl
from collections import deque

cdef extern from "openssl/ssl.h" nogil:
    ctypedef struct SSL_CTX
    ctypedef struct SSL_METHOD
    ctypedef struct SSL
    ctypedef struct X509
    ctypedef struct X509_NAME
    ctypedef struct X509_NAME_ENTRY
    ctypedef struct X509_STORE
    ctypedef struct ASN1_STRING
    ctypedef struct ASN1_OBJECT
    ctypedef struct ASN1_TIME
    ctypedef struct ASN1_INTEGER
    ctypedef struct BIO
    ctypedef struct BIO_METHOD
    ctypedef struct STACK_OF_X509 "STACK_OF(X509)"

    const int SSL_VERIFY_PEER
    const int SSL_VERIFY_FAIL_IF_NO_PEER_CERT
    const int SSL_FILETYPE_PEM
    const long SSL_MODE_RELEASE_BUFFERS
    const long SSL_MODE_ENABLE_PARTIAL_WRITE
    const long SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER
    const long SSL_SESS_CACHE_OFF
    const unsigned long SSL_OP_NO_COMPRESSION
    const unsigned long SSL_OP_NO_RENEGOTIATION
    const unsigned long SSL_OP_CIPHER_SERVER_PREFERENCE
    const unsigned long SSL_OP_IGNORE_UNEXPECTED_EOF
    const int TLS1_2_VERSION
    const int SSL_ERROR_WANT_READ
    const int SSL_ERROR_WANT_WRITE
    const int SSL_ERROR_ZERO_RETURN
    const int SSL_ERROR_SYSCALL
    const long X509_V_OK
    const unsigned long X509_V_FLAG_PARTIAL_CHAIN
    const unsigned long X509_V_FLAG_CRL_CHECK
    const unsigned long X509_V_FLAG_TRUSTED_FIRST

    const SSL_METHOD *TLS_server_method()
    SSL_CTX *SSL_CTX_new(const SSL_METHOD *method)
    void SSL_CTX_free(SSL_CTX *ctx)
    int SSL_CTX_set_min_proto_version(SSL_CTX *ctx, int version)
    int SSL_CTX_use_certificate_chain_file(SSL_CTX *ctx, const char *file)
    int SSL_CTX_use_PrivateKey_file(SSL_CTX *ctx, const char *file, int type)
    int SSL_CTX_check_private_key(const SSL_CTX *ctx)
    int SSL_CTX_load_verify_locations(SSL_CTX *ctx, const char *file, const char *folder)
    void SSL_CTX_set_verify(SSL_CTX *ctx, int mode, void *callback)
    X509_STORE *SSL_CTX_get_cert_store(const SSL_CTX *ctx)
    int X509_STORE_set_flags(X509_STORE *store, unsigned long flags)
    int SSL_CTX_set_num_tickets(SSL_CTX *ctx, size_t number)
    unsigned long SSL_CTX_set_options(SSL_CTX *ctx, unsigned long options)
    long SSL_CTX_set_mode(SSL_CTX *ctx, long mode)
    long SSL_CTX_set_session_cache_mode(SSL_CTX *ctx, long mode)
    int SSL_CTX_set_session_id_context(SSL_CTX *ctx, const unsigned char *id, unsigned size)
    int SSL_CTX_set_cipher_list(SSL_CTX *ctx, const char *text)
    void SSL_CTX_set_read_ahead(SSL_CTX *ctx, int yes)

    SSL *SSL_new(SSL_CTX *ctx)
    void SSL_free(SSL *ssl)
    int SSL_set_fd(SSL *ssl, int fd)
    int SSL_accept(SSL *ssl)
    int SSL_read_ex(SSL *ssl, void *data, size_t size, size_t *read)
    int SSL_write_ex(SSL *ssl, const void *data, size_t size, size_t *written)
    int SSL_shutdown(SSL *ssl)
    int SSL_get_error(const SSL *ssl, int result)
    int SSL_has_pending(const SSL *ssl)
    long SSL_get_verify_result(const SSL *ssl)
    X509 *SSL_get1_peer_certificate(const SSL *ssl)
    STACK_OF_X509 *SSL_get0_verified_chain(const SSL *ssl)
    const char *SSL_get_version(const SSL *ssl)
    int SSL_session_reused(const SSL *ssl)

cdef extern from "openssl/x509.h" nogil:
    int sk_X509_num(const STACK_OF_X509 *stack)
    X509 *sk_X509_value(const STACK_OF_X509 *stack, int index)
    void X509_free(X509 *certificate)
    X509_NAME *X509_get_subject_name(const X509 *certificate)
    X509_NAME *X509_get_issuer_name(const X509 *certificate)
    const ASN1_TIME *X509_get0_notBefore(const X509 *certificate)
    const ASN1_TIME *X509_get0_notAfter(const X509 *certificate)
    ASN1_INTEGER *X509_get_serialNumber(X509 *certificate)
    int X509_NAME_entry_count(const X509_NAME *name)
    X509_NAME_ENTRY *X509_NAME_get_entry(const X509_NAME *name, int place)
    int X509_NAME_ENTRY_set(const X509_NAME_ENTRY *entry)
    ASN1_OBJECT *X509_NAME_ENTRY_get_object(const X509_NAME_ENTRY *entry)
    ASN1_STRING *X509_NAME_ENTRY_get_data(const X509_NAME_ENTRY *entry)
    int OBJ_obj2txt(char *text, int size, const ASN1_OBJECT *kind, int numbers)
    int ASN1_STRING_to_UTF8(unsigned char **out, const ASN1_STRING *text)
    int ASN1_TIME_print(BIO *bio, const ASN1_TIME *time)
    int i2a_ASN1_INTEGER(BIO *bio, const ASN1_INTEGER *number)
    int i2d_X509(X509 *certificate, unsigned char **out)
    const char *X509_verify_cert_error_string(long code)
    const BIO_METHOD *BIO_s_mem()
    BIO *BIO_new(const BIO_METHOD *method)
    int BIO_free(BIO *bio)
    long BIO_get_mem_data(BIO *bio, char **data)
    void OPENSSL_free(void *data)

cdef extern from "openssl/err.h" nogil:
    unsigned long ERR_peek_error()
    void ERR_clear_error()
    const char *ERR_reason_error_string(unsigned long code)
    const char *ERR_lib_error_string(unsigned long code)


# As CPython's ssl module has them: TLS 1.2 with forward secrecy and authenticated encryption first.
cdef bytes _CIPHERS = (
    b"@SECLEVEL=2:ECDH+AESGCM:ECDH+CHACHA20:ECDH+AES:DHE+AES:!aNULL:!eNULL:!aDSS:!SHA1:!AESCCM"
)
cdef enum:
    _HANDSHAKE = 0
    _OPEN = 1
    _FLUSHING = 2
    _LINGERING = 3
    _CLOSED = 4
    _READS_PER_TURN = 16
    _HIGH_WATER = 65536
    _LOW_WATER = 16384
_LINGER_SECONDS = 2.0


cdef object _error(str what):
    """Return the SSLError of OpenSSL's queue, and empty the queue."""
    cdef unsigned long code = ERR_peek_error()
    cdef const char *reason = ERR_reason_error_string(code) if code else NULL
    cdef const char *library = ERR_lib_error_string(code) if code else NULL
    text = reason.decode() if reason != NULL else "unknown error"
    error = _ssl.SSLError(1, f"{what}: {text}")
    error.reason = text.upper().replace(" ", "_")
    error.library = library.decode() if library != NULL else ""
    ERR_clear_error()
    return error


@cython.final
cdef class ServerContext:
    """Certificate, key and authorities of a listener. Clients must have a certificate."""

    cdef SSL_CTX *_ctx

    def __cinit__(self):
        self._ctx = SSL_CTX_new(TLS_server_method())
        if self._ctx == NULL:
            raise _error("TLS context")

    def __dealloc__(self):
        SSL_CTX_free(self._ctx)

    def __init__(self, str certificate, str key, str ca, str crl=""):
        cdef SSL_CTX *ctx = self._ctx
        cdef unsigned long flags = X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST
        ERR_clear_error()
        SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION)
        if not SSL_CTX_set_cipher_list(ctx, _CIPHERS):
            raise _error("ciphers")
        if SSL_CTX_use_certificate_chain_file(ctx, certificate.encode()) != 1:
            raise _error(certificate)
        if SSL_CTX_use_PrivateKey_file(ctx, key.encode(), SSL_FILETYPE_PEM) != 1:
            raise _error(key)
        if SSL_CTX_check_private_key(ctx) != 1:
            raise _error(key)
        if SSL_CTX_load_verify_locations(ctx, ca.encode(), NULL) != 1:
            raise _error(ca)
        if crl:
            if SSL_CTX_load_verify_locations(ctx, crl.encode(), NULL) != 1:
                raise _error(crl)
            flags |= X509_V_FLAG_CRL_CHECK
        X509_STORE_set_flags(SSL_CTX_get_cert_store(ctx), flags)
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL)
        SSL_CTX_set_session_id_context(ctx, b"gw", 2)
        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF)
        SSL_CTX_set_num_tickets(ctx, 0)
        SSL_CTX_set_options(
            ctx,
            SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE
            | SSL_OP_IGNORE_UNEXPECTED_EOF,
        )
        SSL_CTX_set_mode(
            ctx,
            SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE
            | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER,
        )
        SSL_CTX_set_read_ahead(ctx, 1)


@cython.final
cdef class Connection:
    """One TLS connection of a server: an asyncio transport for a buffered protocol."""

    cdef SSL *_ssl
    cdef object _loop
    cdef object _protocol
    cdef object _socket
    cdef object _waiter
    cdef object _get_buffer
    cdef object _buffer_updated
    cdef object _queue
    cdef object _linger
    cdef object _cause
    cdef int _fd
    cdef int _state
    cdef bint _reader
    cdef bint _writer
    cdef bint _paused
    cdef bint _blocked
    cdef Py_ssize_t _queued

    def __cinit__(self, ServerContext context not None, connection, loop):
        ERR_clear_error()
        self._ssl = SSL_new(context._ctx)
        if self._ssl == NULL:
            raise _error("TLS connection")
        self._socket = connection
        self._fd = connection.fileno()
        self._loop = loop
        self._state = _HANDSHAKE
        if SSL_set_fd(self._ssl, self._fd) != 1:
            raise _error("TLS connection")

    def __dealloc__(self):
        if self._ssl != NULL:
            SSL_free(self._ssl)

    # -- handshake

    def handshake(self, protocol):
        """Begin; return a future that is done, or has the error, when the handshake is over.

        If it fails or the future is cancelled, the socket is closed.
        """
        self._protocol = protocol
        self._waiter = waiter = self._loop.create_future()
        waiter.add_done_callback(self._given_up)
        self._read_on()
        self._shake()
        return waiter  # which is not ours any more if it has failed at once

    def _given_up(self, waiter):
        if waiter.cancelled():
            self._lost(None)

    cdef int _shake(self) except -1:
        ERR_clear_error()
        cdef int result = SSL_accept(self._ssl)
        cdef int code
        if result == 1:
            self._write_off()
            self._state = _OPEN
            self._get_buffer = self._protocol.get_buffer
            self._buffer_updated = self._protocol.buffer_updated
            self._protocol.connection_made(self)
            if not self._waiter.done():
                self._waiter.set_result(None)
            if self._state == _OPEN:
                self._read()
            return 0
        code = SSL_get_error(self._ssl, result)
        if code == SSL_ERROR_WANT_READ:
            self._write_off()
        elif code == SSL_ERROR_WANT_WRITE:
            self._write_on()
        else:
            self._lost(self._failure(code))
        return 0

    cdef object _failure(self, int code):
        """Return the exception for a failed operation."""
        cdef long verdict
        if code == SSL_ERROR_ZERO_RETURN or ERR_peek_error() == 0:
            ERR_clear_error()
            return ConnectionResetError("the peer ended the connection")
        verdict = SSL_get_verify_result(self._ssl)
        error = _error("TLS")
        if error.reason == "CERTIFICATE_VERIFY_FAILED" and verdict != X509_V_OK:
            message = X509_verify_cert_error_string(verdict).decode()
            failed = _ssl.SSLCertVerificationError(1, f"certificate verify failed: {message}")
            failed.verify_code = verdict
            failed.verify_message = message
            failed.reason = error.reason
            failed.library = error.library
            return failed
        return error

    # -- the loop's events

    cdef int _read_on(self) except -1:
        if not self._reader and not self._paused and self._state != _CLOSED:
            self._loop.add_reader(self._fd, self._readable)
            self._reader = True
        return 0

    cdef int _read_off(self) except -1:
        if self._reader:
            self._loop.remove_reader(self._fd)
            self._reader = False
        return 0

    cdef int _write_on(self) except -1:
        if not self._writer and self._state != _CLOSED:
            self._loop.add_writer(self._fd, self._writable)
            self._writer = True
        return 0

    cdef int _write_off(self) except -1:
        if self._writer:
            self._loop.remove_writer(self._fd)
            self._writer = False
        return 0

    def _readable(self):
        try:
            if self._state == _OPEN or self._state == _FLUSHING:
                self._read()
            elif self._state == _HANDSHAKE:
                self._shake()
            elif self._state == _LINGERING:
                self._drain()
        except Exception as error:
            self._failed(error)

    def _writable(self):
        try:
            if self._state == _HANDSHAKE:
                self._shake()
            elif self._state == _OPEN or self._state == _FLUSHING:
                self._flush()
        except Exception as error:
            self._failed(error)

    def _failed(self, error):
        """A callback of the protocol raised: this connection ends, and the loop says why."""
        self._loop.call_exception_handler(
            {"message": "a TLS connection failed", "exception": error, "transport": self}
        )
        self._lost(None)

    # -- reading

    cdef int _read(self) except -1:
        cdef Py_buffer view
        cdef size_t size = 0
        cdef int result, code
        for _ in range(_READS_PER_TURN):
            if self._paused or self._state != _OPEN:
                if self._state == _FLUSHING:
                    self._drain()
                return 0
            PyObject_GetBuffer(self._get_buffer(-1), &view, PyBUF_SIMPLE | PyBUF_WRITABLE)
            ERR_clear_error()
            result = SSL_read_ex(self._ssl, view.buf, <size_t>view.len, &size)
            PyBuffer_Release(&view)
            if result == 1:
                self._buffer_updated(size)
                if self._state != _OPEN or not SSL_has_pending(self._ssl):
                    return 0
                continue
            code = SSL_get_error(self._ssl, result)
            if code == SSL_ERROR_WANT_READ:
                return 0
            if code == SSL_ERROR_WANT_WRITE:
                self._write_on()
                return 0
            if code == SSL_ERROR_ZERO_RETURN:
                self._protocol.eof_received()
                self.close()
                return 0
            self._lost(self._failure(code))
            return 0
        # Others have their turn; what OpenSSL holds already wakes nobody.
        self._loop.call_soon(self._readable)
        return 0

    cdef int _drain(self) except -1:
        """Take what still comes, so that the kernel does not reset what was sent last."""
        try:
            while True:
                data = self._socket.recv(65536)
                if not data:
                    self._lost(None)
                    return 0
                if len(data) < 65536:
                    return 0
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            self._lost(None)
            return 0

    def pause_reading(self):
        """Take nothing more from the socket."""
        self._paused = True
        self._read_off()

    def resume_reading(self):
        """Go on."""
        if not self._paused:
            return
        self._paused = False
        self._read_on()
        if self._state == _OPEN and SSL_has_pending(self._ssl):
            self._loop.call_soon(self._readable)

    def is_reading(self):
        return not self._paused and self._state == _OPEN

    # -- writing

    def write(self, data):
        """Send, or keep what the socket does not take; nothing once the connection is closing."""
        if self._state != _OPEN:
            return
        if not isinstance(data, bytes):
            data = bytes(data)
        if not data:
            return
        cdef size_t sent = 0
        if not self._queued:
            if not self._send(data, 0, &sent):
                return
            if sent == <size_t>len(data):
                return
        if self._queue is None:
            self._queue = deque()
        self._queue.append(data[sent:] if sent else data)
        self._queued += len(data) - <Py_ssize_t>sent
        self._write_on()
        if self._queued > _HIGH_WATER and not self._blocked:
            self._blocked = True
            self._protocol.pause_writing()

    def writelines(self, chunks):
        self.write(b"".join(chunks))

    cdef bint _send(self, bytes data, size_t start, size_t *sent) except -1:
        """Send from `start` on as far as the socket takes it. False: the connection is lost."""
        cdef const char *text = data
        cdef size_t size = <size_t>len(data)
        cdef size_t written = 0
        cdef int result, code
        sent[0] = start
        while sent[0] < size:
            ERR_clear_error()
            result = SSL_write_ex(self._ssl, text + sent[0], size - sent[0], &written)
            if result == 1:
                sent[0] += written
                continue
            code = SSL_get_error(self._ssl, result)
            if code == SSL_ERROR_WANT_READ or code == SSL_ERROR_WANT_WRITE:
                return True
            self._lost(self._failure(code))
            return False
        return True

    cdef int _flush(self) except -1:
        cdef size_t sent = 0
        while self._queued:
            data = self._queue[0]
            if not self._send(data, 0, &sent):
                return 0
            self._queued -= <Py_ssize_t>sent
            if sent < <size_t>len(data):
                self._queue[0] = data[sent:]
                break
            self._queue.popleft()
        if not self._queued:
            self._queue = None
            self._write_off()
            if self._state == _FLUSHING:
                self._say_goodbye()
                return 0
        if self._blocked and self._queued <= _LOW_WATER:
            self._blocked = False
            self._protocol.resume_writing()
        return 0

    def get_write_buffer_size(self):
        return self._queued

    def get_write_buffer_limits(self):
        return _LOW_WATER, _HIGH_WATER

    def can_write_eof(self):
        return False

    # -- ending

    def close(self):
        """Send what is left and the end of TLS, wait a moment for the peer's end, and close."""
        if self._state == _HANDSHAKE:
            self._lost(None)
        elif self._state == _OPEN:
            self._state = _FLUSHING
            self._linger = self._loop.call_later(_LINGER_SECONDS, self.abort)
            self._paused = False
            self._read_on()
            if not self._queued:
                self._say_goodbye()

    cdef int _say_goodbye(self) except -1:
        ERR_clear_error()
        SSL_shutdown(self._ssl)
        ERR_clear_error()
        self._state = _LINGERING
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            self._lost(None)
            return 0
        self._drain()
        return 0

    def abort(self):
        """Close at once."""
        self._lost(None)

    cdef int _lost(self, cause) except -1:
        if self._state == _CLOSED:
            return 0
        cdef bint told = self._state != _HANDSHAKE
        self._read_off()
        self._write_off()
        self._state = _CLOSED
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        self._queue = None
        self._queued = 0
        self._get_buffer = self._buffer_updated = None
        if not told:
            self._protocol = None
            self._close()
            if not self._waiter.done():
                self._waiter.set_exception(cause or ConnectionAbortedError("closed"))
            self._waiter = None
            return 0
        self._cause = cause
        # Not from within the protocol's own call.
        self._loop.call_soon(self._tell_lost)
        return 0

    def _tell_lost(self):
        protocol, self._protocol = self._protocol, None
        cause = self._cause if isinstance(self._cause, OSError) else None
        self._cause = self._waiter = None
        try:
            protocol.connection_lost(cause)
        finally:
            self._close()

    cdef int _close(self) except -1:
        self._socket.close()
        SSL_free(self._ssl)
        self._ssl = NULL
        return 0

    def is_closing(self):
        return self._state > _OPEN

    # -- what is known of the peer

    def get_protocol(self):
        return self._protocol

    def get_extra_info(self, name, default=None):
        """Return `socket`, `peername`, `sockname`, `ssl_object` (this) or `peercert`."""
        if name == "socket":
            return self._socket
        if name == "ssl_object":
            return self
        if name == "peercert":
            return self.getpeercert()
        if name in ("peername", "sockname"):
            try:
                return getattr(self._socket, "get" + name)()
            except OSError:
                return default
        return default

    def version(self):
        """Return the version of TLS, such as `TLSv1.3`."""
        return SSL_get_version(self._ssl).decode() if self._ssl != NULL else ""

    def getpeercert(self):
        """Return the peer's certificate as `ssl.SSLObject.getpeercert` does, names only."""
        cdef X509 *one = NULL
        if self._ssl != NULL:
            one = SSL_get1_peer_certificate(self._ssl)
        if one == NULL:
            return {}
        try:
            return {
                "subject": _name(X509_get_subject_name(one)),
                "issuer": _name(X509_get_issuer_name(one)),
                "serialNumber": _number(X509_get_serialNumber(one)),
                "notBefore": _time(X509_get0_notBefore(one)),
                "notAfter": _time(X509_get0_notAfter(one)),
            }
        finally:
            X509_free(one)

    def get_verified_chain(self):
        """Return the chain that was verified, leaf first, as DER; empty in a resumed session."""
        cdef STACK_OF_X509 *chain = NULL
        if self._ssl != NULL:
            chain = SSL_get0_verified_chain(self._ssl)
        found = []
        if chain != NULL:
            for index in range(sk_X509_num(chain)):
                found.append(_der(sk_X509_value(chain, index)))
        return found


cdef bytes _der(X509 *certificate):
    cdef unsigned char *out = NULL
    cdef int size = i2d_X509(certificate, &out)
    if size < 0:
        raise _error("certificate")
    try:
        return PyBytes_FromStringAndSize(<char *>out, size)
    finally:
        OPENSSL_free(out)


cdef tuple _name(const X509_NAME *name):
    cdef X509_NAME_ENTRY *entry
    cdef unsigned char *text
    cdef char kind[128]
    cdef int size, place, group, last = -1
    found = []
    for place in range(X509_NAME_entry_count(name)):
        entry = X509_NAME_get_entry(name, place)
        OBJ_obj2txt(kind, sizeof(kind), X509_NAME_ENTRY_get_object(entry), 0)
        text = NULL
        size = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(entry))
        if size < 0:
            raise _error("name in a certificate")
        try:
            value = PyBytes_FromStringAndSize(<char *>text, size).decode(errors="replace")
        finally:
            OPENSSL_free(text)
        group = X509_NAME_ENTRY_set(entry)
        if group != last:
            found.append([])
        found[len(found) - 1].append(((<bytes>kind).decode(errors="replace"), value))
        last = group
    return tuple([tuple(one) for one in found])


cdef str _number(const ASN1_INTEGER *number):
    cdef BIO *bio = BIO_new(BIO_s_mem())
    i2a_ASN1_INTEGER(bio, number)
    return _taken(bio)


cdef str _time(const ASN1_TIME *time):
    cdef BIO *bio = BIO_new(BIO_s_mem())
    ASN1_TIME_print(bio, time)
    return _taken(bio)


cdef str _taken(BIO *bio):
    cdef char *data = NULL
    cdef long size = BIO_get_mem_data(bio, &data)
    try:
        return PyBytes_FromStringAndSize(data, size).decode()
    finally:
        BIO_free(bio)
