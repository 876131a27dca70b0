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

#include <jansson.h>

#include "model/object.h"

/* A new reference, or NULL when memory is short. */
json_t *object_encode(const struct object *object);

#endif
