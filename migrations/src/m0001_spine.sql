-- Words in braces are spelt by dialect.rs. Moments are microseconds since 1970; JSON is text, so that no database
-- looks into it (jsonb turns 9 KB of number into 125 MB).

CREATE TABLE tenants (
    id {id} NOT NULL PRIMARY KEY,
    slug {key} NOT NULL CONSTRAINT tenants_slug UNIQUE,
    name {text} NOT NULL,
    created_at {int} NOT NULL,
    updated_at {int} NOT NULL,
    enabled {bool} NOT NULL,
    identity {text} NOT NULL,
    quota {text} NOT NULL,
    config_version {int} NOT NULL
) {rows};

CREATE TABLE operator_tokens (
    hash {bytes} NOT NULL PRIMARY KEY,
    created_at {int} NOT NULL
) {rows};

-- Outlives the tenant it speaks of.
CREATE TABLE operator_audit (
    id {id} NOT NULL PRIMARY KEY,
    at {int} NOT NULL,
    action {text} NOT NULL,
    subject {id} NOT NULL,
    reason {text} NOT NULL
) {rows};

-- What the master secret makes of a constant: another secret makes something else.
CREATE TABLE hub_marks (
    name {key} NOT NULL PRIMARY KEY,
    mark {bytes} NOT NULL
) {rows};

CREATE TABLE data_keys (
    tenant_id {id} NOT NULL REFERENCES tenants (id),
    id {int} NOT NULL,
    wrapped {bytes} NOT NULL,
    created_at {int} NOT NULL,
    PRIMARY KEY (tenant_id, id)
) {rows};

CREATE TABLE cursors (
    tenant_id {id} NOT NULL REFERENCES tenants (id),
    position {int} NOT NULL,
    updated_at {int} NOT NULL,
    PRIMARY KEY (tenant_id)
) {rows};

CREATE TABLE api_keys (
    tenant_id {id} NOT NULL REFERENCES tenants (id),
    id {id} NOT NULL,
    name {text} NOT NULL,
    role {text} NOT NULL,
    hash {bytes} NOT NULL CONSTRAINT api_keys_hash UNIQUE,
    hint {text} NOT NULL,
    created_at {int} NOT NULL,
    expires_at {int},
    PRIMARY KEY (tenant_id, id)
) {rows};

CREATE TABLE sources (
    tenant_id {id} NOT NULL REFERENCES tenants (id),
    id {id} NOT NULL,
    name {text} NOT NULL,
    connector {text},
    settings {text} NOT NULL,
    enabled {bool} NOT NULL,
    created_at {int} NOT NULL,
    updated_at {int} NOT NULL,
    PRIMARY KEY (tenant_id, id)
) {rows};
-- A webhook names its source and no tenant.
CREATE INDEX sources_id ON sources (id);

CREATE TABLE write_keys (
    tenant_id {id} NOT NULL,
    id {id} NOT NULL,
    source_id {id} NOT NULL,
    hash {bytes} NOT NULL CONSTRAINT write_keys_hash UNIQUE,
    hint {text} NOT NULL,
    created_at {int} NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, source_id) REFERENCES sources (tenant_id, id) ON DELETE CASCADE
) {rows};
CREATE INDEX write_keys_source ON write_keys (tenant_id, source_id);

CREATE TABLE destinations (
    tenant_id {id} NOT NULL REFERENCES tenants (id),
    id {id} NOT NULL,
    name {text} NOT NULL,
    connector {text} NOT NULL,
    settings {text} NOT NULL,
    enabled {bool} NOT NULL,
    created_at {int} NOT NULL,
    updated_at {int} NOT NULL,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT destinations_name UNIQUE (tenant_id, name)
) {rows};

-- Of a destination or of a source: one of the two, and the owner is which.
CREATE TABLE secrets (
    tenant_id {id} NOT NULL,
    owner_id {id} NOT NULL,
    name {key} NOT NULL,
    destination_id {id},
    source_id {id},
    data_key {int} NOT NULL,
    sealed {bytes} NOT NULL,
    PRIMARY KEY (tenant_id, owner_id, name),
    FOREIGN KEY (tenant_id, data_key) REFERENCES data_keys (tenant_id, id),
    FOREIGN KEY (tenant_id, destination_id) REFERENCES destinations (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, source_id) REFERENCES sources (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT secrets_owner CHECK (owner_id = coalesce(destination_id, source_id)
        AND (destination_id IS NULL OR source_id IS NULL))
) {rows};

CREATE TABLE routes (
    tenant_id {id} NOT NULL,
    id {id} NOT NULL,
    name {text} NOT NULL,
    source_id {id},
    destination_id {id} NOT NULL,
    action {text},
    condition {text},
    enabled {bool} NOT NULL,
    created_at {int} NOT NULL,
    updated_at {int} NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, source_id) REFERENCES sources (tenant_id, id),
    FOREIGN KEY (tenant_id, destination_id) REFERENCES destinations (tenant_id, id)
) {rows};
CREATE INDEX routes_source ON routes (tenant_id, source_id);
CREATE INDEX routes_destination ON routes (tenant_id, destination_id);

CREATE TABLE lanes (
    tenant_id {id} NOT NULL,
    destination_id {id} NOT NULL,
    cursor {int} NOT NULL,
    delivered {int} NOT NULL,
    skipped {int} NOT NULL,
    dead {int} NOT NULL,
    updated_at {int} NOT NULL,
    PRIMARY KEY (tenant_id, destination_id),
    FOREIGN KEY (tenant_id, destination_id) REFERENCES destinations (tenant_id, id) ON DELETE CASCADE
) {clustered};

CREATE TABLE parked (
    tenant_id {id} NOT NULL,
    destination_id {id} NOT NULL,
    position {int} NOT NULL,
    action {key} NOT NULL,
    profile_id {id} NOT NULL,
    message_id {key} NOT NULL,
    delivery_id {text} NOT NULL,
    attempts {int} NOT NULL,
    parked_at {int} NOT NULL,
    due_at {int},
    history {text} NOT NULL,
    PRIMARY KEY (tenant_id, destination_id, position, action),
    FOREIGN KEY (tenant_id, destination_id) REFERENCES destinations (tenant_id, id) ON DELETE CASCADE
) {rows};
CREATE INDEX parked_person ON parked (tenant_id, destination_id, profile_id, position, action);
CREATE INDEX parked_due ON parked (tenant_id, destination_id, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX parked_profile ON parked (tenant_id, profile_id);
CREATE INDEX parked_message ON parked (tenant_id, message_id);

CREATE TABLE dead_letters (
    tenant_id {id} NOT NULL,
    id {id} NOT NULL,
    destination_id {id} NOT NULL,
    position {int} NOT NULL,
    action {key} NOT NULL,
    profile_id {id} NOT NULL,
    message_id {key} NOT NULL,
    delivery_id {text} NOT NULL,
    attempts {int} NOT NULL,
    died_at {int} NOT NULL,
    reason {text} NOT NULL,
    history {text} NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, destination_id) REFERENCES destinations (tenant_id, id) ON DELETE CASCADE
) {rows};
CREATE INDEX dead_letters_destination ON dead_letters (tenant_id, destination_id, id);
CREATE INDEX dead_letters_profile ON dead_letters (tenant_id, profile_id);
CREATE INDEX dead_letters_message ON dead_letters (tenant_id, message_id);

-- Deliveries that ended otherwise than delivered and have no other row: what the lane is past and is not here, nor
-- parked, nor dead, was delivered.
CREATE TABLE passed_over (
    tenant_id {id} NOT NULL,
    destination_id {id} NOT NULL,
    position {int} NOT NULL,
    action {key} NOT NULL,
    what {text} NOT NULL,
    code {text} NOT NULL,
    message {text} NOT NULL,
    at {int} NOT NULL,
    PRIMARY KEY (tenant_id, destination_id, position, action),
    FOREIGN KEY (tenant_id, destination_id) REFERENCES destinations (tenant_id, id) ON DELETE CASCADE
) {clustered};

CREATE TABLE profiles (
    tenant_id {id} NOT NULL,
    id {id} NOT NULL,
    created_at {int} NOT NULL,
    merges {int} NOT NULL,
    body {text} NOT NULL,
    PRIMARY KEY (tenant_id, id)
) {rows};

-- What nearly every event changes of its person, apart from what few do: most say nothing new of somebody, and then a
-- hundred persons share a page that is written, where of documents it would be five. One row a profile.
CREATE TABLE sightings (
    tenant_id {id} NOT NULL,
    profile_id {id} NOT NULL,
    updated_at {int} NOT NULL,
    last_seen_at {int} NOT NULL,
    events {int} NOT NULL,
    PRIMARY KEY (tenant_id, profile_id)
) {clustered};

-- Who is known by what: at most one person an identifier, by the primary key. A step checks by itself that whoever
-- claims one is written with it: a foreign key would cost an index that nothing else reads, written at random places.
CREATE TABLE identifiers (
    tenant_id {id} NOT NULL,
    kind {key} NOT NULL,
    value {key} NOT NULL,
    profile_id {id} NOT NULL,
    first_seen_at {int} NOT NULL,
    PRIMARY KEY (tenant_id, kind, value)
) {clustered};

-- Always one hop: a survivor that is absorbed itself takes its aliases along.
CREATE TABLE aliases (
    tenant_id {id} NOT NULL,
    absorbed_id {id} NOT NULL,
    survivor_id {id} NOT NULL,
    PRIMARY KEY (tenant_id, absorbed_id)
) {clustered};
CREATE INDEX aliases_survivor ON aliases (tenant_id, survivor_id);

CREATE TABLE merges (
    tenant_id {id} NOT NULL,
    id {id} NOT NULL,
    at {int} NOT NULL,
    message_id {key} NOT NULL,
    survivor_id {id} NOT NULL,
    absorbed_id {id} NOT NULL,
    body {text} NOT NULL,
    PRIMARY KEY (tenant_id, id)
) {rows};
CREATE INDEX merges_survivor ON merges (tenant_id, survivor_id, id);

-- The hash of the message id is what it is found by: message ids come in no order, so every event writes a page of
-- that index somewhere, and with eight bytes in place of forty there are far fewer pages.
CREATE TABLE timeline (
    tenant_id {id} NOT NULL,
    position {int} NOT NULL,
    message_id {key} NOT NULL,
    message_hash {int} NOT NULL,
    kind {text} NOT NULL,
    name {text} NOT NULL,
    source_id {id} NOT NULL,
    profile_id {id},
    timestamp {int} NOT NULL,
    received_at {int} NOT NULL,
    duplicate {bool} NOT NULL,
    decision {text} NOT NULL,
    PRIMARY KEY (tenant_id, position)
) {clustered};
CREATE INDEX timeline_message ON timeline (tenant_id, message_hash);
CREATE INDEX timeline_profile ON timeline (tenant_id, profile_id, position);

CREATE TABLE outbox (
    tenant_id {id} NOT NULL,
    message_id {key} NOT NULL,
    position {int} NOT NULL,
    ordinal {int} NOT NULL,
    body {text} NOT NULL,
    PRIMARY KEY (tenant_id, message_id)
) {rows};
CREATE INDEX outbox_order ON outbox (tenant_id, position, ordinal);

-- Of whom nothing is kept: no value, only what a key of the tenant's makes of it.
CREATE TABLE suppressions (
    tenant_id {id} NOT NULL REFERENCES tenants (id),
    id {id} NOT NULL,
    mark {id} NOT NULL,
    kind {text} NOT NULL,
    reason {text},
    created_at {int} NOT NULL,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT suppressions_mark UNIQUE (tenant_id, mark)
) {rows};

-- Payloads that the log still holds and is to lose: owed by the step that decided so until they are gone.
CREATE TABLE withdrawn (
    tenant_id {id} NOT NULL,
    position {int} NOT NULL,
    PRIMARY KEY (tenant_id, position)
) {clustered};

CREATE TABLE idempotency_keys (
    tenant_id {id} NOT NULL REFERENCES tenants (id),
    key {key} NOT NULL,
    fingerprint {text} NOT NULL,
    answer {text},
    created_at {int} NOT NULL,
    PRIMARY KEY (tenant_id, key)
) {rows};
CREATE INDEX idempotency_keys_age ON idempotency_keys (tenant_id, created_at);
