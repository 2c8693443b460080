using System.Text.RegularExpressions;
using System.Xml.Linq;

namespace ByteStreams.Configuration;

/// <summary>The descriptions of the keys: the XML documentation summaries of the options of the same name.</summary>
/// <param name="documentation">The XML documentation files that the compiler writes.</param>
internal sealed partial class SettingDescriptions(params IReadOnlyList<XDocument> documentation)
{
    private readonly Dictionary<string, XElement> _members =
        documentation.SelectMany(file => file.Descendants("member")).ToDictionary(member => member.Attribute("name")!.Value, member => member);

    /// <summary>The description of an option, with code in backticks.</summary>
    /// <param name="options">The type that declares or inherits it.</param>
    /// <param name="name">The name of the property or constant.</param>
    /// <exception cref="InvalidOperationException">The option has no summary.</exception>
    public string Of(Type options, string name)
    {
        for (Type? type = options; type is not null; type = type.BaseType)
        {
            foreach (char kind in "PF")
            {
                if (_members.TryGetValue($"{kind}:{type.FullName}.{name}", out XElement? member) && member.Element("summary") is XElement summary)
                {
                    return Space().Replace(Text(summary), " ").Trim();
                }
            }
        }

        throw new InvalidOperationException($"{options.Name}.{name} has no summary, which its key needs as description.");
    }

    private static string Text(XElement element) => string.Concat(element.Nodes().Select(node => node switch
    {
        XText text => text.Value,
        XElement { Name.LocalName: "c" } code => $"`{code.Value}`",
        XElement see when see.Attribute("cref") is XAttribute cref => $"`{ShortName(cref.Value)}`",
        XElement see when see.Attribute("langword") is XAttribute word => $"`{word.Value}`",
        XElement see when see.Attribute("name") is XAttribute parameter => $"`{parameter.Value}`",
        XElement other => Text(other),
        _ => string.Empty,
    }));

    /// <summary>
    /// The last part of a cref, without parameters: <c>P:ByteStreams.AdmissionOptions.Burst</c> is the key Burst.
    /// </summary>
    private static string ShortName(string cref)
    {
        string name = cref.Split('(')[0];
        return name[(name.LastIndexOf('.') + 1)..];
    }

    [GeneratedRegex(@"\s+")]
    private static partial Regex Space();
}
