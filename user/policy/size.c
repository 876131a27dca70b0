/* SPDX-License-Identifier: Apache-2.0 */
/* How many words a bank takes, found by laying it out in memory that is nowhere. */
#include <errno.h>

#include "base/cleanup.h"
#include "policy/limits.h"
#include "policy/tables_inside.h"

/* Packing costs a few nanoseconds a packet while everything is in the cache, and saves far more once it is not. */
#define PACK_ABOVE_WORDS ((10u << 20) / 4)

/* As tables_write() does it in new memory: what aligned nodes leave between them depends on all that is before. */
static int lay_out(struct memory *memory, const struct policy *policy, bool packed)
{
	struct trie trie = {.memory = memory, .packed = packed};
	uint32_t address;
	size_t set;
	int error = memory_take(memory, 0, (size_t)policy->rows.count * policy->port_class_count, 1, &address);

	for (set = 0; set < policy->set_count && !error; set++)
		error = memory_take(memory, 0, policy->class_keys.count, TABLES_LINE_WORDS, &address);
	if (!error)
		error = trie_write_ipv4(&trie, &policy->classes[FAMILY_IPV4], 0);
	if (!error)
		error = trie_write_ipv6(&trie, &policy->classes[FAMILY_IPV6], &address);
	return error;
}

/* Beside the fixed part; *words is above `limit`, no matter how far, where it takes more than that. */
static int own_words(const struct policy *policy, bool packed, size_t limit, size_t *words)
{
	_cleanup_(memory_clear) struct memory memory = {0};
	const size_t first = TABLES_BANK_FIXED(EGRESS_BANKS);
	int error = memory_init(&memory, NULL, first + limit, (uint32_t)first);

	if (!error)
		error = lay_out(&memory, policy, packed);
	if (error && error != -ENOSPC)
		return error;
	*words = error ? limit + 1 : memory_reached(&memory) - first;
	return 0;
}

int compile_size(struct compile *compile)
{
	struct policy *policy = compile->policy;
	const size_t pack_above = PACK_ABOVE_WORDS - TABLES_FIXED_WORDS;
	size_t words;
	int error = own_words(policy, false, pack_above, &words);

	if (!error && words > pack_above) {
		policy->packed = true;
		error = own_words(policy, true, BANK_WORDS_MAX, &words);
	}
	if (error)
		return error;
	policy->words = TABLES_FIXED_WORDS + words;
	if (policy->words > BANK_WORDS_MAX)
		return compile_limit(compile, largest_policy(policy), "words of table memory", BANK_WORDS_MAX);
	return 0;
}
