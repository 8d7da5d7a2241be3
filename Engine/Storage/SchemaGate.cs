using Exporter.Engine.Observability;
using Microsoft.Extensions.Logging;

namespace Exporter.Engine.Storage;

/// <summary>Lets workers through once the database is there with all that this version needs, and says what is missing until then.</summary>
internal sealed class SchemaGate(EngineDatabase database, TimeProvider time, ILogger<SchemaGate> logger)
{
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan SaidAgain = TimeSpan.FromMinutes(1);
    private readonly Lock _saying = new();
    private long? _said;
    private bool _pooled;

    /// <summary>Waits for the database and its schema.</summary>
    /// <returns>False when told to stop.</returns>
    public async Task<bool> PassAsync(CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            try
            {
                var connection = await database.ConnectAsync(stop).ConfigureAwait(false);
                await using var closing = connection.ConfigureAwait(false);
                var missing = await database.LookAsync(connection, stop).ConfigureAwait(false);
                Say(missing);
                if (missing.Count == 0)
                {
                    return true;
                }
            }
            catch (Exception error) when (!stop.IsCancellationRequested)
            {
                EngineLog.TriedAgain(logger, "Looking at the database", ErrorText.Of(error));
            }
            catch (Exception)
            {
                return false;
            }

            await Task.Delay(Pause, time, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        return false;
    }

    // Several workers of a process wait here; one of them says it.
    private void Say(IReadOnlyList<string> missing)
    {
        lock (_saying)
        {
            if (missing.Count == 0 && _said is not null)
            {
                _said = null;
                EngineLog.SchemaIsThere(logger);
            }
            else if (missing.Count > 0 && (_said is not { } said || time.GetElapsedTime(said) > SaidAgain))
            {
                _said = time.GetTimestamp();
                EngineLog.SchemaTooOld(logger, string.Join(", ", missing));
            }

            if (database.IsPooled && !_pooled)
            {
                EngineLog.BehindPooler(logger);
            }

            _pooled = database.IsPooled;
        }
    }
}
