using Exporter.Engine.Storage;
using Npgsql;
using NpgsqlTypes;

namespace Exporter.Engine.Payloads;

/// <summary>How far a rotation is.</summary>
/// <param name="Part">inputs, outputs, steps, checkpoints, signals or schedules.</param>
/// <param name="Seen">Payloads of this part that were looked at.</param>
/// <param name="Rotated">Those that were encrypted again.</param>
public sealed record RotationProgress(string Part, long Seen, long Rotated);

/// <summary>
/// Encrypts every payload of the engine again that is not under the ring's newest key, in batches, while workers run: their ring
/// must have the newest key already, and the old ones still. When it has ended the old keys are needed no more.
/// </summary>
public sealed class PayloadRotator
{
    private static readonly SqlFile Sql = SqlFile.Load(typeof(PayloadRotator).Assembly, "sql/payloads.sql");
    private static readonly (string Part, bool ById, Func<Key, string> Place)[] Parts =
    [
        ("Inputs", true, key => Places.Input(Guid.Parse(key.Text)).ToString()),
        ("Outputs", true, key => Places.Output(Guid.Parse(key.Text)).ToString()),
        ("Steps", true, key => Places.Step(Guid.Parse(key.Text), (int)key.Number).ToString()),
        ("Checkpoints", true, key => Places.Checkpoint(Guid.Parse(key.Text), (int)key.Number).ToString()),
        ("Signals", true, key => Places.Signal(Guid.Parse(key.Text), key.Name).ToString()),
        ("Schedules", false, key => Places.Schedule(key.Text).ToString()),
    ];

    private readonly NpgsqlDataSource _data;
    private readonly PayloadCodec _codec;

    /// <summary>Makes a rotator.</summary>
    /// <param name="data">The engine's database.</param>
    /// <param name="codec">Its ring has the newest key first, and every older one that is in use.</param>
    /// <exception cref="ArgumentException">The codec does not encrypt.</exception>
    public PayloadRotator(NpgsqlDataSource data, PayloadCodec codec)
    {
        ArgumentNullException.ThrowIfNull(data);
        ArgumentNullException.ThrowIfNull(codec);
        _data = data;
        _codec = codec.Encrypts ? codec : throw new ArgumentException("The codec has no key to encrypt with.", nameof(codec));
    }

    /// <summary>Rotates. Safe to stop and to repeat: what is under the newest key already is passed by.</summary>
    /// <param name="progress">Told after each batch.</param>
    /// <param name="batch">Payloads read at once. Default 500; from 1 to 10,000.</param>
    /// <param name="cancellationToken">Stops between two batches.</param>
    /// <returns>One line a part.</returns>
    /// <exception cref="System.Security.Cryptography.CryptographicException">A payload is under a key that is not in the ring.</exception>
    public async Task<IReadOnlyList<RotationProgress>> RotateAsync(
        Action<RotationProgress>? progress = null, int batch = 500, CancellationToken cancellationToken = default)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(batch, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(batch, 10_000);
        var done = new List<RotationProgress>();
        foreach (var (part, byId, place) in Parts)
        {
            var after = new Key(byId ? Guid.Empty.ToString() : "", byId && part is "Steps" or "Checkpoints" ? -1 : 0, "");
            var state = new RotationProgress(part.ToLowerInvariant(), 0, 0);
            while (await ReadAsync(part, after, batch, cancellationToken).ConfigureAwait(false) is { Count: > 0 } rows)
            {
                var rotated = await WriteAsync(part, [.. rows.Where(row => _codec.NeedsRotation(row.Stored))], place, cancellationToken).ConfigureAwait(false);
                after = rows[^1].Key;
                state = state with { Seen = state.Seen + rows.Count, Rotated = state.Rotated + rotated };
                progress?.Invoke(state);
            }

            done.Add(state);
        }

        return done;
    }

    private async Task<List<(Key Key, byte[] Stored)>> ReadAsync(string part, Key after, int batch, CancellationToken cancellationToken)
    {
        var command = _data.CreateCommand(Sql["Read" + part]);
        await using var disposing = command.ConfigureAwait(false);
        command.Parameters.Add(new NpgsqlParameter<string> { TypedValue = after.Text });
        command.Parameters.Add(new NpgsqlParameter<long> { TypedValue = after.Number });
        command.Parameters.Add(new NpgsqlParameter<int> { TypedValue = batch });
        var reader = await command.ExecuteReaderAsync(cancellationToken).ConfigureAwait(false);
        await using var closing = reader.ConfigureAwait(false);
        var rows = new List<(Key, byte[])>();
        while (await reader.ReadAsync(cancellationToken).ConfigureAwait(false))
        {
            rows.Add((new Key(reader.GetString(0), reader.GetInt64(1), reader.GetString(2)), reader.GetFieldValue<byte[]>(3)));
        }

        return rows;
    }

    private async Task<int> WriteAsync(
        string part, (Key Key, byte[] Stored)[] rows, Func<Key, string> place, CancellationToken cancellationToken)
    {
        if (rows.Length == 0)
        {
            return 0;
        }

        var command = _data.CreateCommand(Sql["Write" + part]);
        await using var disposing = command.ConfigureAwait(false);
        command.Parameters.Add(new NpgsqlParameter<string[]> { TypedValue = Array.ConvertAll(rows, row => row.Key.Text) });
        command.Parameters.Add(new NpgsqlParameter<long[]> { TypedValue = Array.ConvertAll(rows, row => row.Key.Number) });
        command.Parameters.Add(Bytes(Array.ConvertAll(rows, row => row.Stored)));
        command.Parameters.Add(Bytes(Array.ConvertAll(rows, row => _codec.Protect(_codec.Unprotect(row.Stored, place(row.Key)), place(row.Key)))));
        return await command.ExecuteNonQueryAsync(cancellationToken).ConfigureAwait(false);
    }

    private static NpgsqlParameter Bytes(byte[][] values) => new() { Value = values, NpgsqlDbType = NpgsqlDbType.Array | NpgsqlDbType.Bytea };

    private sealed record Key(string Text, long Number, string Name);
}
