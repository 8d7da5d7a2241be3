using System.Collections.Concurrent;

namespace Exporter.Exports.Destinations;

/// <summary>Manifests of earlier exports, by their keys: each goes before the first object of its interval changes, so that a manifest never
/// lies, and is removed once only while an interval is exported.</summary>
internal sealed class EarlierManifests
{
    private readonly ConcurrentDictionary<string, bool> _gone = new();

    /// <summary>Removes one, unless that was done.</summary>
    /// <param name="key">Its key.</param>
    /// <param name="remove">Removes it; nothing when it is not there.</param>
    /// <param name="cancellationToken">Cancels the removal.</param>
    /// <returns>Whether it was removed just now.</returns>
    public async Task<bool> GoneAsync(string key, Func<string, CancellationToken, Task> remove, CancellationToken cancellationToken)
    {
        if (_gone.ContainsKey(key))
        {
            return false;
        }

        await remove(key, cancellationToken).ConfigureAwait(false);
        return _gone[key] = true;
    }

    /// <summary>The new one is there: the next export of the interval removes it.</summary>
    public void Written(string key) => _gone.TryRemove(key, out _);
}
