// Stands in for the audio decoder that Ollama 0.24.0's module leaves out: the tests need no audio,
// so every call says "no" and the model runner treats each sound as one that cannot be read.
#pragma once
#include <stddef.h>

typedef enum { MA_SUCCESS = 0, MA_ERROR = -1 } ma_result;
typedef enum { ma_format_f32 = 5 } ma_format;
typedef unsigned long long ma_uint64;
typedef struct { int unused; } ma_decoder_config, ma_decoder;

static inline ma_decoder_config ma_decoder_config_init(ma_format, unsigned, unsigned) { return {}; }
static inline ma_result ma_decoder_init_memory(const void *, size_t, const ma_decoder_config *, ma_decoder *) { return MA_ERROR; }
static inline ma_result ma_decoder_get_length_in_pcm_frames(ma_decoder *, ma_uint64 *) { return MA_ERROR; }
static inline ma_result ma_decoder_read_pcm_frames(ma_decoder *, void *, ma_uint64, ma_uint64 *) { return MA_ERROR; }
static inline ma_result ma_decoder_uninit(ma_decoder *) { return MA_ERROR; }
