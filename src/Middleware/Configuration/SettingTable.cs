using Microsoft.Extensions.Configuration;

namespace ByteStreams.Configuration;

/// <summary>The keys of a section.</summary>
internal abstract class SettingTable
{
    /// <summary>Enables this section, by default; <c>false</c> disables the feature.</summary>
    public const string Enabled = "Enabled";

    /// <summary>The options type that the keys set; a key has the documentation of the property of its name.</summary>
    public abstract Type Options { get; }

    public abstract IReadOnlyList<Setting> All { get; }

    /// <summary>Whether the section has the key <see cref="Enabled"/>.</summary>
    public bool CanBeDisabled { get; init; }

    /// <summary>Whether the table has the key; case does not matter.</summary>
    public bool Knows(string key) => All.Any(setting => Is(setting.Name, key));

    public static bool Is(string left, string right) => string.Equals(left, right, StringComparison.OrdinalIgnoreCase);

    /// <summary>Adds an error if a section has a value, which would be ignored.</summary>
    public static void RejectValue(IConfigurationSection section, ICollection<string> errors)
    {
        if (!string.IsNullOrEmpty(section.Value))
        {
            errors.Add($"{section.Path}: '{section.Value}' is not valid. It takes a section of keys, not one value.");
        }
    }

    /// <summary>The error about an unknown key.</summary>
    public static string Unknown(IConfigurationSection key, IReadOnlyList<string> known) =>
        Nearest(key.Key, known) is string nearest
            ? $"{key.Path}: there is no such key. Did you mean '{nearest}'?"
            : $"{key.Path}: there is no such key. Known are {string.Join(", ", known)}.";

    /// <summary>The known key that is nearest to a misspelt one; null if none is near.</summary>
    public static string? Nearest(string name, IEnumerable<string> known) => known
        .Select(candidate => (candidate, distance: Distance(name.ToUpperInvariant(), candidate.ToUpperInvariant())))
        .Where(pair => pair.distance <= Math.Max(2, name.Length / 3))
        .OrderBy(pair => pair.distance)
        .Select(pair => pair.candidate)
        .FirstOrDefault();

    /// <summary>The Levenshtein distance, computed in one row.</summary>
    private static int Distance(string left, string right)
    {
        int[] row = [.. Enumerable.Range(0, right.Length + 1)];
        for (int i = 1; i <= left.Length; i++)
        {
            int diagonal = row[0];
            row[0] = i;
            for (int j = 1; j <= right.Length; j++)
            {
                int above = row[j];
                row[j] = left[i - 1] == right[j - 1] ? diagonal : 1 + Math.Min(diagonal, Math.Min(above, row[j - 1]));
                diagonal = above;
            }
        }

        return row[right.Length];
    }
}

/// <summary>The keys of a section that sets <typeparamref name="TOptions"/>.</summary>
internal sealed class SettingTable<TOptions>(params IReadOnlyList<Setting<TOptions>> settings) : SettingTable
    where TOptions : new()
{
    public override Type Options => typeof(TOptions);

    public override IReadOnlyList<Setting> All => settings;

    /// <summary>Reads every key of a section; each error is a line.</summary>
    public void Read(IConfigurationSection section, SectionState<TOptions> state, ICollection<string> errors)
    {
        RejectValue(section, errors);
        foreach (IConfigurationSection child in section.GetChildren())
        {
            if (CanBeDisabled && Is(child.Key, Enabled))
            {
                ReadEnabled(child, state, errors);
            }
            else
            {
                Read(child, state.Options, errors);
            }
        }
    }

    /// <summary>Reads one key.</summary>
    public void Read(IConfigurationSection child, TOptions options, ICollection<string> errors)
    {
        if (settings.FirstOrDefault(setting => Is(setting.Name, child.Key)) is Setting<TOptions> known)
        {
            known.Read(child, options, errors);
        }
        else
        {
            IEnumerable<string> names = settings.Select(setting => setting.Name);
            errors.Add(Unknown(child, [.. CanBeDisabled ? names.Prepend(Enabled) : names]));
        }
    }

    private static void ReadEnabled(IConfigurationSection section, SectionState<TOptions> state, ICollection<string> errors)
    {
        if (bool.TryParse(section.Value, out bool enabled))
        {
            state.IsEnabled = enabled;
        }
        else
        {
            errors.Add($"{section.Path}: '{section.Value}' is not valid. It takes true or false.");
        }
    }
}
