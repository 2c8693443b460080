using Microsoft.Extensions.Configuration;

namespace ByteStreams.Configuration;

/// <summary>A configuration key: how it is read, the error about an invalid value, its documentation and its schema.</summary>
/// <param name="Name">The key; case does not matter.</param>
internal abstract record Setting(string Name)
{
    /// <summary>The valid values, for errors and documentation.</summary>
    public abstract string Takes { get; }

    /// <summary>The default as text; null if there is none.</summary>
    public abstract string? Default { get; }

    /// <summary>The keys of a section, or of each section in a list.</summary>
    public virtual SettingTable? Table => null;

    /// <summary>Whether it is a list.</summary>
    public virtual bool IsList => false;

    /// <summary>The JSON schema of a value.</summary>
    public virtual SettingSchema Schema => new("string");
}

/// <summary>The JSON schema of a value.</summary>
/// <param name="Type">string, integer or boolean.</param>
/// <param name="Least">The minimum of an integer.</param>
/// <param name="Most">The maximum of an integer.</param>
/// <param name="Pattern">The pattern of a string.</param>
/// <param name="Values">The only values.</param>
internal sealed record SettingSchema(
    string Type, long? Least = null, long? Most = null, string? Pattern = null, IReadOnlyList<string>? Values = null);

/// <summary>A key that sets an option of <typeparamref name="TOptions"/>.</summary>
internal abstract record Setting<TOptions>(string Name) : Setting(Name)
{
    /// <summary>Reads the key. An invalid value adds an error and changes nothing.</summary>
    public abstract void Read(IConfigurationSection section, TOptions options, ICollection<string> errors);
}

/// <summary>A key with one value.</summary>
internal sealed record ValueSetting<TOptions>(
    string Name, string TakesText, SettingSchema Kind, Func<TOptions, string?> Show, Func<string, TOptions, bool> TryApply) : Setting<TOptions>(Name)
    where TOptions : new()
{
    public override string Takes => TakesText;

    public override string? Default => Show(new TOptions());

    public override SettingSchema Schema => Kind;

    public override void Read(IConfigurationSection section, TOptions options, ICollection<string> errors)
    {
        if (section.Value is not string text)
        {
            if (section.GetChildren().Any())
            {
                errors.Add($"{section.Path}: takes one value, not a section.");
            }
        }
        else if (!TryApply(text, options))
        {
            errors.Add($"{section.Path}: '{text}' is not valid. It takes {Takes}.");
        }
    }
}

/// <summary>
/// A key with a list of texts: an array, or one text with commas, such as an environment variable. It replaces the default list. The text
/// wins over an array from another source: a variable that appended to the file's access list would allow more clients than it names.
/// </summary>
internal sealed record ListSetting<TOptions>(string Name, string TakesText, Func<TOptions, IList<string>> List) : Setting<TOptions>(Name)
    where TOptions : new()
{
    public override string Takes => TakesText;

    public override string? Default => List(new TOptions()) is { Count: > 0 } list ? string.Join(',', list) : null;

    public override bool IsList => true;

    public override void Read(IConfigurationSection section, TOptions options, ICollection<string> errors)
    {
        IList<string> list = List(options);
        list.Clear();
        if (section.Value is { Length: > 0 } text)
        {
            foreach (string part in text.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
            {
                list.Add(part);
            }

            return;
        }

        foreach (IConfigurationSection item in section.GetChildren())
        {
            if (item.Value is string value)
            {
                list.Add(value);
            }
            else
            {
                errors.Add($"{item.Path}: takes one value, not a section.");
            }
        }
    }
}

/// <summary>A section of keys.</summary>
internal abstract record KeysSetting<TOptions, TSection>(string Name, SettingTable<TSection> Keys) : Setting<TOptions>(Name)
    where TSection : new()
{
    public override string Takes => "a section";

    public override string? Default => null;

    public override SettingTable Table => Keys;
}

/// <summary>A section that records whether it exists and is enabled.</summary>
internal sealed record SectionSetting<TOptions, TSection>(string Name, Func<TOptions, SectionState<TSection>> Get, SettingTable<TSection> Keys)
    : KeysSetting<TOptions, TSection>(Name, Keys)
    where TSection : new()
{
    public override void Read(IConfigurationSection section, TOptions options, ICollection<string> errors)
    {
        SectionState<TSection> state = Get(options);
        state.IsPresent = true;
        Keys.Read(section, state, errors);
    }
}

/// <summary>A section within another, which exists and is enabled with that one.</summary>
internal sealed record InnerSectionSetting<TOptions, TSection>(string Name, Func<TOptions, TSection> Get, SettingTable<TSection> Keys)
    : KeysSetting<TOptions, TSection>(Name, Keys)
    where TSection : new()
{
    public override void Read(IConfigurationSection section, TOptions options, ICollection<string> errors)
    {
        SettingTable.RejectValue(section, errors);
        foreach (IConfigurationSection child in section.GetChildren())
        {
            Keys.Read(child, Get(options), errors);
        }
    }
}

/// <summary>A list of sections. It replaces the default list.</summary>
internal sealed record SectionListSetting<TOptions, TItem>(string Name, Func<TOptions, IList<TItem>> List, SettingTable<TItem> Keys)
    : Setting<TOptions>(Name)
    where TItem : new()
{
    public override string Takes => "a list of sections";

    public override string? Default => null;

    public override SettingTable Table => Keys;

    public override bool IsList => true;

    public override void Read(IConfigurationSection section, TOptions options, ICollection<string> errors)
    {
        IList<TItem> list = List(options);
        list.Clear();
        SettingTable.RejectValue(section, errors);
        foreach (IConfigurationSection item in section.GetChildren())
        {
            var state = new SectionState<TItem>();
            Keys.Read(item, state, errors);
            list.Add(state.Options);
        }
    }
}

/// <summary>A section as it was read: its options, whether it exists, and whether it is enabled.</summary>
internal sealed class SectionState<TSection>
    where TSection : new()
{
    public TSection Options { get; } = new();

    public bool IsPresent { get; set; }

    public bool IsEnabled { get; set; } = true;
}
