/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way back: an object as the JSON of its Kubernetes kind, with only the fields that the model keeps, such that
 * decoding it gives an equal object (object_equal). Its place goes along as the annotation "egressd.io/place":
 * "file:line:column"; places within the object (rules, peers, ports) as their own field "egressd.io/place":
 * "line:column". decode_saved_buffer and decode_saved_file honour them; for the decoder of users' files they are
 * unknown fields.
 */
#ifndef EGRESSD_MODEL_ENCODE_H
#define EGRESSD_MODEL_ENCODE_H

#include <stddef.h>

#include "model/object.h"

/* Takes one piece of the text after the other; a negative errno ends the encoding. */
typedef int (*encode_sink)(const char *text, size_t length, void *data);

/*
 * The object on one line, in pieces: a policy may have a million networks, as a tree 900 bytes each. 0, -ENOMEM, or what
 * the sink returned; what the sink took is then no object.
 */
int object_encode(const struct object *object, encode_sink sink, void *data);

#endif
