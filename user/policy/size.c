/* SPDX-License-Identifier: Apache-2.0 */
/* How many words a bank takes, found by writing the tries to nowhere. */
#include <errno.h>

#include "base/cleanup.h"
#include "policy/compile.h"
#include "policy/limits.h"
#include "policy/tables.h"
#include "policy/trie.h"

/* Packing costs a few nanoseconds a packet while everything is in the cache, and saves far more once it is not. */
#define PACK_ABOVE_WORDS ((10u << 20) / 4)

/* *words is above `limit`, no matter how far, where the tries take more than that. */
static int trie_words(const struct policy *policy, bool packed, size_t limit, size_t *words)
{
	_cleanup_(memory_clear) struct memory memory = {0};
	struct trie trie = {.memory = &memory, .packed = packed};
	uint32_t root;
	int error = memory_init(&memory, NULL, limit, 0);

	if (!error)
		error = trie_write_ipv4(&trie, &policy->classes[FAMILY_IPV4], 0);
	if (!error)
		error = trie_write_ipv6(&trie, &policy->classes[FAMILY_IPV6], &root);
	if (error == -ENOSPC) {
		*words = limit + 1;
		return 0;
	}
	*words = memory_used(&memory, 0);
	return error;
}

int compile_size(struct compile *compile)
{
	struct policy *policy = compile->policy;
	size_t vectors = policy->set_count * (policy->class_keys.count + 16);
	size_t rows = (size_t)policy->rows.count * policy->port_class_count, tries;
	int error = trie_words(policy, false, PACK_ABOVE_WORDS, &tries);

	if (!error && TABLES_FIXED_WORDS + vectors + rows + tries > PACK_ABOVE_WORDS) {
		policy->packed = true;
		error = trie_words(policy, true, BANK_WORDS_MAX, &tries);
	}
	if (error)
		return error;
	policy->words = TABLES_FIXED_WORDS + vectors + rows + tries;
	if (policy->words > BANK_WORDS_MAX)
		return compile_limit(compile, largest_policy(policy), "words of table memory", BANK_WORDS_MAX);
	return 0;
}
