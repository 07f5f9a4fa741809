-- The log. Rows are only ever added; the position alone changes.
CREATE TABLE audit_leaf (
    leaf_index bigint NOT NULL,
    stream_sequence bigint NOT NULL,
    kind text NOT NULL,
    event_id uuid,
    order_id uuid,
    version bigint,
    epoch bigint,
    chain_hash bytea,
    leaf_hash bytea NOT NULL,
    CONSTRAINT audit_leaf_pkey PRIMARY KEY (leaf_index),
    CONSTRAINT audit_leaf_kind_check CHECK (
        (kind = 'event' AND num_nulls(event_id, order_id, version, chain_hash) = 0)
        OR (kind = 'epoch' AND epoch IS NOT NULL) OR (kind = 'refused' AND chain_hash IS NOT NULL)
    ),
    CONSTRAINT audit_leaf_hash_check CHECK (octet_length(leaf_hash) = 32)
);
CREATE UNIQUE INDEX audit_leaf_event_id_key ON audit_leaf (event_id) WHERE kind = 'event';
CREATE INDEX audit_leaf_order_id_idx ON audit_leaf (order_id, version) WHERE order_id IS NOT NULL;
CREATE UNIQUE INDEX audit_leaf_refused_key ON audit_leaf (leaf_hash) WHERE kind = 'refused';
CREATE UNIQUE INDEX audit_leaf_epoch_key ON audit_leaf (epoch) WHERE kind = 'epoch';

-- The hash over 256 neighbours of the level below: the nodes at the levels 8, 16, 24 …. All nodes between are computed
-- from at most 256 of these, or of the leaves.
CREATE TABLE audit_node (
    level smallint NOT NULL,
    node_index bigint NOT NULL,
    hash bytea NOT NULL,
    CONSTRAINT audit_node_pkey PRIMARY KEY (level, node_index),
    CONSTRAINT audit_node_hash_check CHECK (octet_length(hash) = 32)
);

-- Signed checkpoints. `cosigned` is the note with the witness's signature too.
CREATE TABLE audit_checkpoint (
    size bigint NOT NULL,
    note text NOT NULL,
    cosigned text,
    signed_at timestamptz DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT audit_checkpoint_pkey PRIMARY KEY (size)
);

-- Up to which message the stream was read. It is committed with the leaves of those messages.
CREATE TABLE audit_position (
    stream text NOT NULL,
    stream_created_at bigint NOT NULL,
    sequence bigint NOT NULL,
    CONSTRAINT audit_position_pkey PRIMARY KEY (stream)
);
