namespace Exporter.Exports.Destinations;

/// <summary>What a destination's column can hold. Only what is set is looked at.</summary>
public sealed record ColumnLimit
{
    /// <summary>Whether text may have zero bytes. Default true.</summary>
    public bool ZeroBytes { get; init; } = true;

    /// <summary>Whether text has to be UTF-8. Default false.</summary>
    public bool Utf8 { get; init; }

    /// <summary>The most bytes of a text or binary value. Default no limit.</summary>
    public int? MaxBytes { get; init; }

    /// <summary>The least and the greatest whole number, or count of the field's unit of a date or an instant. Default all.</summary>
    public (Int128 Least, Int128 Greatest)? Whole { get; init; }

    /// <summary>Whether floating-point numbers may be NaN or infinite. Default true.</summary>
    public bool NotFinite { get; init; } = true;

    /// <summary>Text is stored as JSON: what its values have to be. Default null, text is text.</summary>
    public JsonLimit? Json { get; init; }
}

/// <summary>What JSON text has to be.</summary>
public sealed record JsonLimit
{
    /// <summary>The most levels of arrays and objects. Default 1,000.</summary>
    public int MaxDepth { get; init; } = 1_000;

    /// <summary>Whether <c>\u0000</c> may stand in its strings; jsonb refuses it. Default true.</summary>
    public bool ZeroBytes { get; init; } = true;

    /// <summary>Whether half a pair of surrogates, such as <c>\ud83d</c> alone, may stand in its strings. Default true.</summary>
    public bool UnpairedSurrogates { get; init; } = true;
}

/// <summary>Why a destination cannot hold a value; the words of <c>exports.bad_rows.reason</c>.</summary>
public enum BadReason
{
    /// <summary>Text with a zero byte.</summary>
    ZeroByte,

    /// <summary>Text that is no UTF-8.</summary>
    InvalidText,

    /// <summary>Too many bytes.</summary>
    TooLong,

    /// <summary>A number, date or instant beyond the column's range.</summary>
    OutOfRange,

    /// <summary>NaN or an infinity.</summary>
    NotFinite,

    /// <summary>JSON nested too deep.</summary>
    JsonTooDeep,

    /// <summary>JSON with <c>\u0000</c>.</summary>
    JsonZeroByte,

    /// <summary>JSON with half a pair of surrogates.</summary>
    JsonUnpairedSurrogate,

    /// <summary>Text that is no JSON.</summary>
    JsonInvalid,
}
