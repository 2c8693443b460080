namespace ByteStreams.Transport.Validation;

/// <summary>The ranges of an options type.</summary>
/// <param name="ranges">One for each option that has a range.</param>
internal sealed class OptionRanges<TOptions>(params IReadOnlyList<OptionRange<TOptions>> ranges)
    where TOptions : class
{
    /// <summary>Validates every option. Each error is a sentence that begins with the option's key.</summary>
    /// <param name="options">The options.</param>
    /// <param name="section">What the keys begin with, such as <c>Admission:</c>.</param>
    public IEnumerable<string> Validate(TOptions options, string section = "") =>
        from range in ranges
        let invalid = range.FindInvalid(options)
        where invalid is not null
        select Error(section + range.Name, invalid, range.Requirement);

    /// <summary>The same ranges of a derived options type.</summary>
    public OptionRanges<TDerived> For<TDerived>()
        where TDerived : class, TOptions => new([.. ranges.Select(static range => range.For<TDerived>())]);

    public NumberOption<TOptions> Number(string name) => (NumberOption<TOptions>)Find(name);

    public DurationOption<TOptions> Duration(string name) => (DurationOption<TOptions>)Find(name);

    private OptionRange<TOptions> Find(string name) => ranges.First(range => range.Name == name);

    private static string Error(string key, string value, string requirement) => $"{key}: '{value}' is not valid. It takes {requirement}.";
}
