// SPDX-License-Identifier: Apache-2.0
#include "texts.h"

#include "memory.h"

enum { BUCKETS = 1024 };

// Each a list to whose beginning texts are added. Atomic.
static const struct text* buckets[BUCKETS];

// A record in the mapped snapshot, as it stood when `sequence` was read.
struct sight {
  const struct envdial_header* file;
  const struct envdial_slot* slot;
  uint64_t sequence;
  uint64_t bytes;
  const uint64_t* words;
};

static bool look(const struct envdial_entry* entry, struct sight* sight) {
  sight->file = envdial_file_of_(entry);
  sight->slot = envdial_slot_(sight->file);
  sight->sequence = ENVDIAL_LOAD(sight->slot->sequence);
  const struct envdial_record* record = envdial_record_(sight->slot, entry);
  sight->bytes = (uint32_t)ENVDIAL_LOAD(record->head);
  sight->words = (const uint64_t*)(record + 1);
  return sight->bytes <= entry->capacity;
}

// A word of the text, with zeros after its end whatever the file has there.
static uint64_t word_at(const struct sight* sight, uint64_t i) {
  const uint64_t word = ENVDIAL_LOAD(sight->words[i]), left = sight->bytes - i * 8;
  return left >= 8 ? word : word & ((UINT64_C(1) << left * 8) - 1);
}

static bool is_whole(const struct sight* sight) { return envdial_is_whole_(sight->file, sight->slot, sight->sequence); }

static bool shows(const struct sight* sight, const struct text* text) {
  if (sight->bytes != text->bytes) return false;
  for (uint64_t i = 0; i * 8 < text->bytes; ++i) {
    if (word_at(sight, i) != text->words[i]) return false;
  }
  return true;
}

static uint64_t hash_of(const struct sight* sight) {
  uint64_t hash = envdial_mix(ENVDIAL_MIX_START, sight->bytes);
  for (uint64_t i = 0; i * 8 < sight->bytes; ++i) hash = envdial_mix(hash, word_at(sight, i));
  return hash ^ hash >> 32;
}

static const struct text* find(uint64_t hash, const struct sight* sight) {
  const struct text* text = ENVDIAL_LOAD(buckets[hash % BUCKETS]);
  while (text != NULL && (text->hash != hash || !shows(sight, text))) text = text->next;
  return text;
}

// Adds `text`, unless somebody else added its like meanwhile: that is returned then.
static const struct text* add(struct text* text) {
  const struct text** bucket = &buckets[text->hash % BUCKETS];
  text->next = ENVDIAL_LOAD(*bucket);
  for (;;) {
    for (const struct text* other = text->next; other != NULL; other = other->next) {
      if (other->bytes == text->bytes && memcmp(other->words, text->words, text->bytes) == 0) return other;
    }
    const struct text* first = text->next;
    if (__atomic_compare_exchange_n(bucket, &first, text, false, __ATOMIC_RELEASE, __ATOMIC_ACQUIRE)) return text;
    text->next = first;
  }
}

// Room for a text as long as that of `sight`: `room` where it is large enough. NULL if there is none.
static struct text* make_room(struct text* room, const struct sight* sight) {
  if (room == NULL || room->bytes < sight->bytes) {
    room = keep(sizeof *room + (sight->bytes / 8 + 1) * 8);
    if (room != NULL) room->bytes = sight->bytes;
  }
  return room;
}

const struct text* present_text(const struct envdial_entry* entry, const struct text* last) {
  struct text* room = NULL;
  struct sight sight;
  for (int tries = 0; tries < ENVDIAL_MAX_TRIES; ++tries) {
    if (tries > 0) ENVDIAL_ON_RETRY();
    if (!look(entry, &sight)) continue;
    const bool unchanged = last != NULL && shows(&sight, last);
    const uint64_t hash = unchanged ? last->hash : hash_of(&sight);
    const struct text* known = unchanged ? last : find(hash, &sight);
    if (!is_whole(&sight)) continue;
    if (known != NULL) return known;

    room = make_room(room, &sight);
    if (room == NULL) return last;
    const uint64_t words = (sight.bytes + 7) / 8;
    for (uint64_t i = 0; i < words; ++i) room->words[i] = word_at(&sight, i);
    if (!is_whole(&sight)) continue;
    if (words * 8 == sight.bytes) room->words[words] = 0;
    room->bytes = sight.bytes;
    room->hash = hash;
    return add(room);
  }
  return last;
}
