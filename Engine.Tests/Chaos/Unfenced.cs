using System.Reflection;
using Exporter.Engine.Storage;

namespace Exporter.Engine.Tests.Chaos;

/// <summary>
/// A fault put in on purpose, in this process alone: writes no longer look at worker and epoch. It shows that the checks can
/// fail. The engine has no switch for it; the statements are changed where they lie in memory.
/// </summary>
internal static class Unfenced
{
    public static void Apply()
    {
        var sql = (SqlFile)typeof(WriteStore).GetField("Sql", BindingFlags.NonPublic | BindingFlags.Static)!.GetValue(null)!;
        var statements = (Dictionary<string, string>)typeof(SqlFile).GetField("_statements", BindingFlags.NonPublic | BindingFlags.Instance)!.GetValue(sql)!;
        foreach (var (name, text) in statements.ToArray())
        {
            statements[name] = text
                .Replace("select l.run_id, l.epoch\n", "select l.run_id, w.epoch\n", StringComparison.Ordinal)
                .Replace(" and l.epoch = w.epoch", "", StringComparison.Ordinal)
                .Replace("join held using (run_id, epoch)", "join held using (run_id)", StringComparison.Ordinal)
                .Replace("l.worker_id is not distinct from $3", "$3::uuid is not null", StringComparison.Ordinal);
        }

        if (Array.Exists(["LockHeld", "RecordSteps"], name => statements[name].Contains("l.epoch", StringComparison.Ordinal))
            || statements["RecordHeld"].Contains("using (run_id, epoch)", StringComparison.Ordinal))
        {
            throw new InvalidOperationException("The statements have changed: the fence is still there.");
        }
    }
}
