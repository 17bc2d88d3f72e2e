// nghttp2: frames, HPACK and the states of streams; the bytes are read and written by us.
#pragma once
#include <nghttp2/nghttp2.h>
