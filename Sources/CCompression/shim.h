// The three coders of bodies: zlib for gzip, libbrotlienc for br, libzstd.
#pragma once
#include <brotli/encode.h>
#include <zlib.h>
#include <zstd.h>

// A macro in zlib.
static inline int pc_gzip_begin(z_stream *stream, int level) {
    return deflateInit2(stream, level, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
}
