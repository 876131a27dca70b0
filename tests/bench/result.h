/* SPDX-License-Identifier: Apache-2.0 */
/* What every program of the benchmark prints: a line of JSON for each figure, for tests/bench/run to gather. */
#ifndef EGRESSD_BENCH_RESULT_H
#define EGRESSD_BENCH_RESULT_H

#include <sched.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct result {
	const char *group;        /* "packet", "update", "verifier" */
	const char *program;
	const char *path;         /* "allow", "reply", "deny", "first"; NULL where it makes no sense, as the numbers: 0 */
	size_t prefixes, destinations;
	unsigned int family;
	double value;
	const double *rounds; /* what the value is the median of, in the order in which it was measured; NULL */
	const double *base_rounds; /* the base's, measured between slices of the same round; NULL */
	size_t round_count;
	const char *unit;
};

static inline void result_print_rounds(const char *name, const double *rounds, size_t count)
{
	size_t i;

	if (!rounds || !count)
		return;
	printf(",\"%s\":[", name);
	for (i = 0; i < count; i++)
		printf("%s%.9g", i ? "," : "", rounds[i]);
	printf("]");
}

static inline void result_print(const struct result *result)
{
	printf("{\"group\":\"%s\",\"program\":\"%s\"", result->group, result->program);
	if (result->prefixes)
		printf(",\"prefixes\":%zu", result->prefixes);
	if (result->destinations)
		printf(",\"destinations\":%zu", result->destinations);
	if (result->family)
		printf(",\"family\":%u", result->family);
	if (result->path)
		printf(",\"path\":\"%s\"", result->path);
	printf(",\"value\":%.9g", result->value);
	result_print_rounds("rounds", result->rounds, result->round_count);
	result_print_rounds("base_rounds", result->base_rounds, result->round_count);
	printf(",\"unit\":\"%s\"}\n", result->unit);
	fflush(stdout);
}

/* To who started the program and waits for this line. */
static inline void bench_ready(void)
{
	printf("ready\n");
	fflush(stdout);
}

/* Ends the benchmark: a figure that is not what it says is worth nothing. */
static inline void bench_check(int good, const char *format, ...) __attribute__((format(printf, 2, 3)));
static inline void bench_check(int good, const char *format, ...)
{
	va_list arguments;

	if (good)
		return;
	fprintf(stderr, "bench: ");
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fprintf(stderr, "\n");
	exit(1);
}

static inline double clock_seconds(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/*
 * What runs on the machine besides waits while something is measured. Where that is not allowed, the figures are noisier
 * and as true. bench_yield() ends it.
 */
static inline void bench_insist(void)
{
	const struct sched_param priority = {.sched_priority = 1};

	sched_setscheduler(0, SCHED_FIFO, &priority);
}

static inline void bench_yield(void)
{
	const struct sched_param priority = {.sched_priority = 0};

	sched_setscheduler(0, SCHED_OTHER, &priority);
}

static inline int compare_doubles(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;

	return a < b ? -1 : a > b;
}

/* Sorts the values. */
static inline double median(double *values, size_t count)
{
	qsort(values, count, sizeof(*values), compare_doubles);
	return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

#endif
