using Exporter.Exports.Destinations;

namespace Exporter.Exports.Model;

/// <summary>
/// Models of the tables that PostHog keeps in ClickHouse, as its own exports shape them. A preset is where a model begins: it is
/// stored whole, so that a later version of a preset changes no export that is there.
/// </summary>
public static class ModelPresets
{
    // An event belongs to the interval in which it was stored, not to that in which it happened, which may be long ago.
    private const string EventsQuery =
        """
        SELECT
          uuid, event, properties, distinct_id, team_id, timestamp, created_at, elements_chain, person_id, person_properties,
          nullIf(JSONExtractRaw(properties, '$set'), '') AS set,
          nullIf(JSONExtractRaw(properties, '$set_once'), '') AS set_once,
          coalesce(inserted_at, _timestamp) AS _inserted_at
        FROM events
        """;

    // A row of a distinct id and its person belongs to the interval in which either changed last. What has not changed since the
    // interval began is left aside before anything is grouped.
    private const string PersonsQuery =
        """
        SELECT
          d.team_id AS team_id, d.distinct_id AS distinct_id, d.person_id AS person_id, p.properties AS properties,
          d.version AS person_distinct_id_version, p.version AS person_version, p.created_at AS created_at,
          d.is_deleted OR p.is_deleted AS is_deleted, greatest(d.changed_at, p.changed_at) AS _inserted_at
        FROM (
          SELECT team_id, distinct_id, argMax(i.person_id, i.version) AS person_id, argMax(i.is_deleted, i.version) != 0 AS is_deleted,
            argMax(i._timestamp, i.version) AS changed_at, max(i.version) AS version
          FROM person_distinct_id2 AS i
          WHERE (team_id, distinct_id) IN (
              SELECT team_id, distinct_id FROM person_distinct_id2
              WHERE _timestamp >= {interval_start:DateTime}
                OR (team_id, person_id) IN (SELECT team_id, id FROM person WHERE _timestamp >= {interval_start:DateTime}))
          GROUP BY team_id, distinct_id
        ) AS d
        INNER JOIN (
          SELECT team_id, id, argMax(n.properties, n.version) AS properties, argMax(n.created_at, n.version) AS created_at,
            argMax(n.is_deleted, n.version) != 0 AS is_deleted, argMax(n._timestamp, n.version) AS changed_at, max(n.version) AS version
          FROM person AS n
          GROUP BY team_id, id
        ) AS p ON p.team_id = d.team_id AND p.id = d.person_id
        """;

    // A session belongs to the interval of its last event. Its rows are states of aggregates, which are brought together here.
    private const string SessionsQuery =
        """
        SELECT
          toString(reinterpretAsUUID(bitOr(bitShiftLeft(session_id_v7, 64), bitShiftRight(session_id_v7, 64)))) AS session_id,
          team_id, argMaxMerge(s.distinct_id) AS distinct_id, min(s.min_timestamp) AS start_timestamp,
          max(s.max_timestamp) AS end_timestamp, dateDiff('second', start_timestamp, end_timestamp) AS session_duration,
          groupUniqArrayArray(s.urls) AS urls, length(urls) AS num_uniq_urls,
          argMinMerge(s.entry_url) AS entry_current_url, path(entry_current_url) AS entry_pathname, domain(entry_current_url) AS entry_hostname,
          argMaxMerge(s.end_url) AS end_current_url, path(end_current_url) AS end_pathname, domain(end_current_url) AS end_hostname,
          argMaxMerge(s.last_external_click_url) AS last_external_click_url,
          argMinMerge(s.initial_utm_source) AS entry_utm_source, argMinMerge(s.initial_utm_campaign) AS entry_utm_campaign,
          argMinMerge(s.initial_utm_medium) AS entry_utm_medium, argMinMerge(s.initial_utm_term) AS entry_utm_term,
          argMinMerge(s.initial_utm_content) AS entry_utm_content, argMinMerge(s.initial_referring_domain) AS entry_referring_domain,
          argMinMerge(s.initial_gclid) AS entry_gclid, argMinMerge(s.initial_fbclid) AS entry_fbclid,
          argMinMerge(s.initial_gad_source) AS entry_gad_source,
          uniqMerge(s.pageview_uniq) AS pageview_count, uniqMerge(s.autocapture_uniq) AS autocapture_count,
          uniqMerge(s.screen_uniq) AS screen_count, argMinMerge(s.vitals_lcp) AS vitals_lcp
        FROM raw_sessions AS s
        WHERE (team_id, session_id_v7) IN (
          SELECT team_id, session_id_v7 FROM raw_sessions WHERE max_timestamp >= {interval_start:DateTime64(6)})
        GROUP BY team_id, session_id_v7
        """;

    private static readonly Dictionary<string, SourceModel> Presets = new(StringComparer.Ordinal)
    {
        ["events"] = new()
        {
            Query = EventsQuery, CursorColumn = "_inserted_at", KeyColumns = ["team_id", "event", "distinct_id", "uuid"], Dedup = Dedup.DistinctOn,
        },
        ["persons"] = new()
        {
            Query = PersonsQuery, CursorColumn = "_inserted_at", KeyColumns = ["team_id", "distinct_id"], DeletedColumn = "is_deleted", Deleted = DeletedRows.Keep,
        },
        ["sessions"] = new()
        {
            Query = SessionsQuery, CursorColumn = "end_timestamp", KeyColumns = ["team_id", "session_id"],
        },
    };

    /// <summary>Their names.</summary>
    public static IReadOnlyCollection<string> Names => Presets.Keys;

    /// <summary>A preset.</summary>
    /// <exception cref="UserErrorException">There is none of this name.</exception>
    public static SourceModel Find(string name) => Presets.TryGetValue(name, out var found) ? found : throw new UserErrorException(
        "preset", $"There is no preset \"{name}\".", $"The presets are {string.Join(", ", Names)}.");
}
