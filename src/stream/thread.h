/* SPDX-License-Identifier: Apache-2.0 */
/* Threads that a stage hides behind its sink. Leaf tier: 0 or -errno. */
#ifndef STREAM_THREAD_H
#define STREAM_THREAD_H

#include <pthread.h>

#include "base/macros.h"

/* Start a joinable thread with every signal blocked: handlers stay on the program's own threads. */
int thread_start(pthread_t *ret, void *(*run)(void *arg), void *arg) MUST_CHECK;

#endif
