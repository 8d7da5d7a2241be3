-- Deliveries in pieces: how far each receiver of a destination is with a slice, and the messages that one refused for good.

create table exports.delivery (
  run_id uuid not null,
  slice integer not null,
  receiver text not null check (receiver <> ''),
  messages bigint not null check (messages >= 0),
  rows bigint not null check (rows >= 0),
  updated_at timestamptz not null default engine.clock(),
  primary key (run_id, slice, receiver),
  foreign key (run_id, slice) references exports.slice
);

create table exports.dead_letter (
  dead_letter_id uuid primary key,
  run_id uuid not null,
  slice integer not null,
  number integer not null check (number >= 0),
  message_id text not null check (message_id <> ''),
  receiver text not null,
  receiver_key text not null,
  rows integer not null check (rows > 0),
  status integer not null check (status between 400 and 499),
  reason text not null,
  -- Through the payload codec, bound to the row's id; gone once the message was sent.
  body bytea,
  created_at timestamptz not null default engine.clock(),
  resent_at timestamptz,
  unique (run_id, slice, number, receiver_key),
  foreign key (run_id, slice) references exports.slice,
  check ((body is null) = (resent_at is not null))
);
create index dead_letter_pending on exports.dead_letter (created_at) where resent_at is null;

create view exports.deliveries as
select d.run_id, e.name as batch_export, d.slice, d.receiver, d.messages, d.rows, d.updated_at
from exports.delivery d join exports.run r using (run_id) join exports.batch_export e using (batch_export_id);
comment on view exports.deliveries is 'One row a receiver of a slice that is delivered message by message: how far it is.';
comment on column exports.deliveries.receiver is 'Its URL without what may be secret.';
comment on column exports.deliveries.messages is 'Messages that it has acknowledged, from the first one on without a gap; dead letters count.';
comment on column exports.deliveries.rows is 'Their rows.';

create view exports.dead_letters as
select l.dead_letter_id, e.name as batch_export, n.name as destination, l.run_id, l.slice, l.number, l.message_id, l.receiver, l.rows, l.status,
  l.reason, case when l.resent_at is null then 'pending' else 'resent' end as state, l.created_at, l.resent_at
from exports.dead_letter l join exports.run r using (run_id) join exports.batch_export e using (batch_export_id)
join exports.destination n using (destination_id);
comment on view exports.dead_letters is 'One row a message that a receiver refused for good, kept aside since the destination says rejected: dead_letter.';
comment on column exports.dead_letters.number is 'Its number in the slice, from 0.';
comment on column exports.dead_letters.message_id is 'Its webhook-id, under which it is sent again.';
comment on column exports.dead_letters.status is 'The HTTP status of the answer.';
comment on column exports.dead_letters.reason is 'What the receiver answered.';
comment on column exports.dead_letters.state is 'pending or resent.';

do $$
begin
  grant select on exports.deliveries, exports.dead_letters to exporter_readonly;
exception
  when insufficient_privilege or undefined_object then
    raise notice 'role exporter_readonly was not set up: %', sqlerrm;
end
$$;
